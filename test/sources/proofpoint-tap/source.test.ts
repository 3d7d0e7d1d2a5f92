import { describe, expect, it } from 'vitest'
import { HOUR, inputConfig, MINUTE, START, TapSimulation } from '../../support/tap-simulation.ts'

describe('catching up', () => {
  it('reads each of 168 hours once', async () => {
    const simulation = new TapSimulation([inputConfig()], { now: START + 7 * 24 * HOUR - 10 * MINUTE, latencyMs: 300 })
    for (let hour = 0; hour < 168; hour += 1) {
      simulation.model.events.add({ service: 'clicksBlocked', createdAt: START + hour * HOUR + 20 * MINUTE, content: { id: `event ${hour}` } })
    }
    await simulation.once()
    expect(simulation.buffer.events.size).toBe(168)
    expect([...simulation.buffer.events.values()].every((times) => times === 1)).toBe(true)
    expect(simulation.model.log.entries.length).toBeLessThanOrEqual(170)
    expect(simulation.said('The data is up to date!')).toHaveLength(1)
    expect(simulation.said(/^Statistics for this pull cycle/)[0]?.msg).toMatch(
      /^Statistics for this pull cycle \(@devo_pulling_id=\d+\): Number of requests made: \d+; Number of events received: 168; Number of duplicated events filtered out: 0; Number of events generated and sent: 168; Average of events per second: [\d.]+\.$/,
    )
  })
})
