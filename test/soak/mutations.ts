/** `node test/soak/mutations.ts [--days 1] [--runs 6] [--intensity 3] [NAME]...`: breaks one rule after the other in a copy, and tells whether the soak sees it. */
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

const TAP = 'src/sources/proofpoint-tap'
const MUTATIONS: Readonly<Record<string, { readonly file: string; readonly from: string; readonly to: string; readonly args?: readonly string[] }>> = {
  'the mark moves to the end of what was read': { file: `${TAP}/passes.ts`, from: 'const final = floorToSecond(requestedAt - this.#rules.lookBackMs)', to: 'const final = servedTo' },
  'a light pass moves the mark': { file: `${TAP}/passes.ts`, from: 'if (!isFull || pass.isStopped) return', to: 'if (pass.isStopped) return' },
  'an earlier window that is not final stops nothing': { file: `${TAP}/passes.ts`, from: 'if (servedTo > final) pass.isStopped = true', to: '' },
  'fingerprints are forgotten an hour too early': { file: `${TAP}/passes.ts`, from: 'window.to + FORGET_AFTER_MS < this.#settled &&', to: 'window.to - 3_600_000 < this.#settled &&' },
  'saved fingerprints are not loaded': { file: `${TAP}/service-reader.ts`, from: 'new FingerprintTable(state.seen)', to: 'new FingerprintTable([])' },
  'what another service has seen comes again': { file: 'src/pipeline/beginning.ts', from: '[own, ...others].flatMap((known) => known?.seen ?? [])', to: '(own?.seen ?? [])' },
  'an old state of its own is taken up': { file: 'src/pipeline/beginning.ts', from: 'if (own !== null && own.settled >= lowest.settled)', to: 'if (own !== null)' },
  'equal events of one answer are one': { file: `${TAP}/fingerprints.ts`, from: 'if (this.#isStamped(slot)) {', to: 'if (this.#isStamped(slot)) return false\n    if (slot < 0) {' },
  'the local clock dates a request': { file: `${TAP}/client.ts`, from: 'const requestedAt = Math.min(believed, time.whenSent(sentAt))', to: 'const requestedAt = clock.now()' },
  'what was read of a broken answer is final': { file: `${TAP}/response.ts`, from: '    reading.end()\n', to: '' },
  // Of eight days that the collector or the API was away.
  'a gap is not written down': { file: `${TAP}/service-pulls.ts`, from: 'gaps: [gap]', to: 'gaps: []', args: ['--days', '10', '--intensity', '0.1'] },
  'a gap goes further than what is lost': { file: `${TAP}/passes.ts`, from: 'const INSIDE_HORIZON_MS = 10 * MINUTE_MS', to: 'const INSIDE_HORIZON_MS = 50 * MINUTE_MS', args: ['--days', '10', '--intensity', '0.1'] },
  'answers are kept in memory': {
    file: `${TAP}/window-reading.ts`, from: 'this.#answer.release()', to: 'this.#answer.release()\n    Reflect.set(globalThis, Symbol(), new Array(5_000).fill(0))', args: ['--days', '6', '--intensity', '0'],
  },
  'requests are not written down': { file: `${TAP}/pool.ts`, from: 'const isTaken = await this.#deps.quotaLog.count(', to: 'const isTaken = [true][0] ?? await this.#deps.quotaLog.count(' },
  'a failed append counts as done': { file: 'src/pipeline/collect.ts', from: 'await buffer.append(unit)', to: 'await buffer.append(unit).catch(() => undefined)' },
  'a cursor moves before the proof': { file: 'src/pipeline/deliver.ts', from: '.then(() => shipment.proven)', to: '.then(() => shipment.readEnded)' },
  'a retry has an end of its own': { file: 'src/pipeline/shipment.ts', from: '...(this.to !== undefined && { to: this.to }), ', to: '' },
  'a peer may end first': { file: 'src/sinks/proof/proof.ts', from: "if (this.#phase !== 'ending' || this.#peerEnding) this.#fail(this.#endedFirst())\n", to: "if (this.#phase !== 'ending' || this.#peerEnding) this.#deliver({ closeNotify: true })\n" },
  'a bare FIN is believed': { file: 'src/sinks/proof/endpoint.ts', from: "quietMs : settleMs, this.#sendsCloseNotify, signal)", to: 'quietMs : settleMs, false, signal)' },
  'a late end is believed': { file: 'src/sinks/proof/endpoint.ts', from: "|| tookMs <= PROMPT_END_MS) return", to: '|| tookMs <= 1e9) return' },
}

/** A rule that is broken may make it hang: that is seen as well. */
const LONGEST_MS = 900_000

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { days: { type: 'string', default: '1' }, runs: { type: 'string', default: '6' }, seed: { type: 'string', default: '1' }, intensity: { type: 'string', default: '3' } },
})
const root = join(import.meta.dirname, '../..')
const copy = mkdtempSync(join(tmpdir(), 'soak-mutations-'))
let survivors = 0
try {
  for (const part of ['src', 'test', 'schemas', 'package.json']) cpSync(join(root, part), join(copy, part), { recursive: true })
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'))
  for (const [name, { file, from, to, args = [] }] of Object.entries(MUTATIONS)) {
    if (positionals.length > 0 && !positionals.some((wanted) => name.includes(wanted))) continue
    const text = readFileSync(join(root, file), 'utf8')
    if (text.split(from).length !== 2) throw new Error(`${file} does not hold this once: ${from}`)
    writeFileSync(join(copy, file), text.replace(from, () => to))
    const began = performance.now()
    const options = ['--seed', values.seed, '--days', values.days, '--runs', values.runs, '--intensity', values.intensity, '--shrink', '0', '--bail', ...args]
    const { status, stdout, stderr } = spawnSync(process.execPath, ['--expose-gc', 'test/soak/main.ts', ...options], { cwd: copy, encoding: 'utf8', timeout: LONGEST_MS })
    writeFileSync(join(copy, file), text)
    const found = /^seed \d+: .*$/m.exec(stdout)?.[0] ?? stderr.split('\n').find((line) => line.includes('Error')) ?? ''
    if (status === 0) survivors += 1
    console.log(`${status === 0 ? 'NOT SEEN' : 'seen    '} ${name} (${((performance.now() - began) / 1_000).toFixed(0)} s) ${found}`)
  }
} finally {
  rmSync(copy, { recursive: true, force: true })
}
process.exitCode = survivors === 0 ? 0 : 1
