import { closeSync, openSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadConfig } from '../config/load.ts'
import { systemClock } from '../pipeline/clock.ts'
import { Counters } from '../pipeline/counters.ts'
import type { FaultPhase } from '../simulator/simulator-script.ts'
import { startSimulator } from '../simulator/simulator.ts'
import { createLogger } from '../telemetry/logger.ts'
import { runCollector } from './collector.ts'
import { EXIT } from './exit.ts'
import { scrubberFor } from './load.ts'
import { onSignals } from './signals.ts'

const TELL_EVERY_MS = 3_000

/** `demo`: simulator and collector in one process, over real TLS on loopback, with a fault every few seconds. Leaves nothing behind. */
export async function demo(): Promise<number> {
  const dir = await mkdtemp(join(tmpdir(), 'tap-collector-demo-'))
  const stop = new AbortController()
  const signals = onSignals(() => stop.abort(new Error('Ctrl-C')))
  try {
    return await play(dir, stop)
  } finally {
    signals.dispose()
    await rm(dir, { recursive: true, force: true })
  }
}

async function play(dir: string, stop: AbortController): Promise<number> {
  const logPath = join(dir, 'collector.log')
  const fd = openSync(logPath, 'a', 0o600)
  const counters = new Counters()
  const simulator = await startSimulator({ dir, faults: true, httpPort: 0, onFault: tellFault })
  try {
    const { config } = await loadConfig({ file: simulator.configPath, env: process.env, now: Date.now() })
    const log = createLogger({ debug: false, fd, pretty: false, scrubber: scrubberFor(config) })
    say('A simulated TAP API and a simulated Devo endpoint run on this machine, and the collector carries events from one to the other')
    say('over TLS with client certificates. Every few seconds something goes wrong on purpose. Ctrl-C ends it.')
    say(`The collector's own log: ${logPath}`)
    const telling = tellProgress(counters, simulator, stop.signal)
    await runCollector({ config, clock: systemClock, log, counters, stop: stop.signal, once: false, onServing: (port) => say(`The status page: http://127.0.0.1:${port}/`) })
    await telling
    say(`Stopped. ${simulator.receiver.events} events had arrived, each of them proven before the collector moved on.`)
    return EXIT.ok
  } finally {
    stop.abort(new Error('the demo ends'))
    await simulator.stop()
    closeSync(fd)
  }
}

/** One line every few seconds: what was done since the last one. */
async function tellProgress(
  counters: Counters,
  simulator: { readonly receiver: { readonly events: number } },
  signal: AbortSignal,
): Promise<void> {
  const seen = { received: 0, duplicates: 0, delivered: 0 }
  for (;;) {
    await systemClock.sleep(TELL_EVERY_MS, signal).catch(() => undefined)
    if (signal.aborted) return
    const received = counters.sum('events_received_total')
    const duplicates = counters.sum('events_duplicate_total')
    const delivered = counters.sum('events_delivered_total')
    const waiting = received - duplicates - counters.sum('dead_letters_total') - delivered
    say(
      `fetched ${received - seen.received} events, filtered ${duplicates - seen.duplicates} of them as seen before, ` +
        `delivered ${delivered - seen.delivered} with proof (${delivered} in all${waiting > 0 ? `, ${waiting} wait in the buffer` : ''})`,
    )
    Object.assign(seen, { received, duplicates, delivered })
    if (simulator.receiver.events < delivered)
      say(`BUG: ${delivered} events count as delivered, but Devo has only ${simulator.receiver.events}`)
  }
}

function tellFault(description: string, phase: FaultPhase): void {
  const text = { begins: `✗ fault: ${description}`, ends: '  the fault is over', recovered: `✓ recovered: ${description}` }
  say(text[phase])
}

function say(text: string): void {
  process.stdout.write(`${new Date().toTimeString().slice(0, 8)}  ${text}\n`)
}
