import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { batchesOf } from '../../contract/batches.ts'
import { shipAll } from '../../contract/sink-suite.ts'
import { idsOf, linesIn, sinkOf, temporaryFolder } from './support.ts'

const MAIN = new URL('./child-main.ts', import.meta.url).pathname

describe.each(['plain', 'gzip'])('%s: kill -9 at random moments', (kind) => {
  test('what was delivered is there once and whole, and no half event after the next shipment', async () => {
    const dir = temporaryFolder()
    const path = join(dir, `tap.ndjson${kind === 'gzip' ? '.gz' : ''}`)
    const delivered: string[] = []
    for (let round = 0; round < 3; round += 1) {
      const child = spawn(process.execPath, [MAIN, path, kind, `round${round}`], { stdio: ['ignore', 'pipe', 'inherit'] })
      const said = text(child.stdout)
      await once(child.stdout, 'data')
      // The moment of the kill is what is random here; nothing waits for this time to be enough.
      await sleep(Math.random() * 250)
      child.kill('SIGKILL')
      delivered.push(...[...(await said).matchAll(/^delivered (\S+)$/gm)].map(([, name]) => name ?? ''))
      // The start after it.
      await shipAll(sinkOf(path, { gzip: kind === 'gzip', rotateBytes: 3_000_000 }), batchesOf(`after${round}`, 3).batches)
      delivered.push(`after${round}`)
      const ids = idsOf(linesIn(dir))
      expect(new Set(ids).size).toBe(ids.length)
      const missing = delivered.filter((name) => ids.filter((id) => id.startsWith(`${name}-`)).length !== (name.startsWith('after') ? 3 : 3000))
      expect(missing).toEqual([])
    }
  })
})
