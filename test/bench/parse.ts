/**
 * From a response body to chunks with fingerprints: events a second, processor time by step, and memory.
 *
 *     node test/bench/parse.ts [--mb 100] [--piece-kb 64]
 *
 * Every case runs in a process of its own, five times, of which the one with the least processor time counts. The naive one collects the body and calls `JSON.parse` on the whole, which is what a program without
 * this code would do; it makes no fingerprints and no lines.
 */
import { spawnSync } from 'node:child_process'
import { hash } from 'node:crypto'
import { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { plainView } from '../../src/sources/proofpoint-tap/bytes.ts'
import { CanonicalWriter } from '../../src/sources/proofpoint-tap/canonical.ts'
import { Carver, MAX_SLICE_BYTES } from '../../src/sources/proofpoint-tap/carver.ts'
import { FingerprintTable } from '../../src/sources/proofpoint-tap/fingerprints.ts'
import { readResponse } from '../../src/sources/proofpoint-tap/response.ts'
import { Scanner } from '../../src/sources/proofpoint-tap/scanner.ts'

const { values: flags } = parseArgs({
  options: {
    mb: { type: 'string', default: '100' },
    'piece-kb': { type: 'string', default: '64' },
    case: { type: 'string' },
    mode: { type: 'string', default: 'time' },
  },
})
const bodyBytes = Number(flags.mb) * 1e6
const pieceBytes = Number(flags['piece-kb']) * 1024

/** An event of about 2 KB with the fields that were seen live. */
function makeEvent(n: number): string {
  const id = `${n.toString(16).padStart(8, '0')}-51ac-4f2c-9a7e-${(n * 7919).toString(16).padStart(12, '0')}`
  const digest = hash('sha256', String(n), 'hex')
  return JSON.stringify({
    spamScore: n % 101,
    phishScore: (n * 31) % 101,
    threatsInfoMap: [
      {
        threatID: digest,
        threatStatus: 'active',
        classification: 'phish',
        detectionType: null,
        threatUrl: `https://threatinsight.proofpoint.com/${id}/threat/email/${digest}`,
        threatTime: '2026-11-20T03:12:44.000Z',
        threat: `https://login.example-${n % 997}.test/auth?session=${digest.slice(0, 24)}`,
        campaignID: null,
        actors: [{ id, type: 'named', name: 'TA505' }],
        threatType: 'url',
      },
    ],
    messageTime: '2026-11-20T03:11:02.000Z',
    impostorScore: 0.5,
    malwareScore: 0,
    cluster: 'example_hosted',
    subject: `Rechnung Nr. ${n} – bitte prüfen: Zahlungserinnerung für Ihr Konto "Premium"`,
    quarantineFolder: n % 3 === 0 ? 'Phish' : null,
    quarantineRule: n % 3 === 0 ? 'inbound_phish_definite' : null,
    policyRoutes: ['default_inbound', 'allow_relay', 'executives'],
    modulesRun: ['av', 'spf', 'dkim', 'dmarc', 'spam', 'pdr', 'urldefense', 'sandbox'],
    messageSize: 20_000 + (n % 50_000),
    headerFrom: `"Accounts Payable ${n % 13}" <billing-${n % 4999}@supplier-${n % 211}.example>`,
    headerReplyTo: null,
    fromAddress: [`billing-${n % 4999}@supplier-${n % 211}.example`],
    ccAddresses: [],
    replyToAddress: [],
    toAddresses: [`person-${n % 8000}@customer.example`, `colleague-${n % 800}@customer.example`],
    xmailer: 'Microsoft Outlook 16.0',
    messageParts: [
      {
        disposition: 'inline',
        sha256: digest,
        md5: digest.slice(0, 32),
        filename: 'text.html',
        sandboxStatus: null,
        oContentType: 'text/html',
        contentType: 'text/html',
      },
      {
        disposition: 'attached',
        sha256: hash('sha256', `part ${n}`, 'hex'),
        md5: digest.slice(32),
        filename: `invoice-${n}.pdf`,
        sandboxStatus: 'CLEAN',
        oContentType: 'application/pdf',
        contentType: 'application/pdf',
      },
    ],
    completelyRewritten: true,
    QID: `4n0ab${n.toString(36)}-1`,
    GUID: id.replaceAll('-', ''),
    id,
    sender: `bounce-${n % 4999}@mailer-${n % 211}.example`,
    senderIP: `203.0.113.${n % 256}`,
    recipient: [`person-${n % 8000}@customer.example`],
    messageID: `<${digest.slice(0, 40)}@supplier-${n % 211}.example>`,
  })
}

/** The body's pieces, made before anything is measured; each has its own memory, as those of a socket have. */
function* makeBody(bytes: number): Generator<Buffer, void, undefined> {
  let rest: Buffer = Buffer.from('{"queryEndTime":"2026-11-20T04:00:00Z","messagesDelivered":[')
  let made = 0
  let n = 0
  while (made < bytes) {
    const texts = [rest]
    let length = rest.length
    for (; length < pieceBytes && made + length < bytes; n += 1) {
      const event = Buffer.from(`${n === 0 ? '' : ','}${makeEvent(n)}`)
      texts.push(event)
      length += event.length
    }
    const all = Buffer.concat(texts)
    yield Buffer.from(all.subarray(0, pieceBytes))
    rest = all.subarray(pieceBytes)
    made += Math.min(length, pieceBytes)
  }
  yield Buffer.concat([rest, Buffer.from(']}')])
}

const WINDOW = { from: 0, to: 3_600_000 }
const PULL = { inputId: '12345', service: 'messagesDelivered', pulledAt: 0, environment: null }

async function readAll(body: Readable, seen: FingerprintTable): Promise<number> {
  const parts = readResponse(body, { arrays: new Map([['messagesDelivered', { pull: PULL, seen }]]), window: WINDOW, now: Date.now })
  for (;;) {
    const step = await parts.next()
    if (step.done === true) return step.value.received
    // A buffer takes the bytes away.
    for (const { lines } of step.value.chunks) if (lines.buffer instanceof ArrayBuffer) lines.buffer.transfer(0)
  }
}

/** Runs over the carved elements of the body. */
function forEachElement(pieces: readonly Buffer[], take: (carver: Carver) => void): number {
  const carver = new Carver()
  let elements = 0
  for (const piece of pieces) {
    for (let from = 0; from < piece.length; from += MAX_SLICE_BYTES) {
      carver.give(plainView(piece.subarray(from, from + MAX_SLICE_BYTES)))
      for (let found = carver.next(); found !== 'slice-end'; found = carver.next()) {
        if (found !== 'element') continue
        elements += 1
        take(carver)
      }
      carver.takePassed()
    }
  }
  return elements
}

const scanner = new Scanner()
const writer = new CanonicalWriter()

function scan({ bytes, view, start, end }: Carver): void {
  if (scanner.scan(bytes, view, start, end) !== end) throw new Error(scanner.problem)
}

function write(carver: Carver): Uint8Array {
  scan(carver)
  return writer.write(carver.bytes, carver.view, carver.start, carver.end, scanner.outline, scanner.root)
}

interface Case {
  /** Brings what the run needs, unmeasured. */
  readonly prepare?: (pieces: Buffer[]) => Promise<FingerprintTable>
  readonly run: (pieces: Buffer[], seen: FingerprintTable) => number | Promise<number>
}

const CASES: Readonly<Record<string, Case>> = {
  'whole way': { run: (pieces, seen) => readAll(Readable.from(pieces), seen) },
  'whole way, all seen before': {
    async prepare(pieces) {
      const seen = new FingerprintTable()
      await readAll(Readable.from(pieces), seen)
      return seen
    },
    run: (pieces, seen) => readAll(Readable.from(pieces), seen),
  },
  'naive JSON.parse of the whole': {
    run: (pieces) => (JSON.parse(Buffer.concat(pieces).toString('utf8')) as { messagesDelivered: unknown[] }).messagesDelivered.length,
  },
  'step: carve every element': { run: (pieces) => forEachElement(pieces, () => undefined) },
  'step: + scan': { run: (pieces) => forEachElement(pieces, scan) },
  'step: + canonical bytes': { run: (pieces) => forEachElement(pieces, write) },
  'step: + hash': { run: (pieces) => forEachElement(pieces, (carver) => hash('sha256', write(carver), 'binary')) },
}

interface Result {
  readonly eventsPerSecond: number
  readonly cpuMicroseconds: number
  readonly peakMb: number
}

async function measure({ prepare, run }: Case, isNaive: boolean): Promise<Result> {
  const pieces = [...makeBody(bodyBytes)]
  // The engine optimises what has run for a while; a collector runs for months.
  if (!isNaive) for (let round = 0; round < 3; round += 1) await run([...makeBody(4e6)], new FingerprintTable())
  let best: Result | null = null
  for (let round = 0; round < (isNaive ? 1 : 5); round += 1) {
    const seen = (await prepare?.(pieces)) ?? new FingerprintTable()
    const started = process.hrtime.bigint()
    const startedCpu = process.cpuUsage()
    const events = await run(pieces, seen)
    const cpu = process.cpuUsage(startedCpu)
    const seconds = Number(process.hrtime.bigint() - started) / 1e9
    const result = { eventsPerSecond: Math.round(events / seconds), cpuMicroseconds: (cpu.user + cpu.system) / events, peakMb: 0 }
    if (best === null || result.cpuMicroseconds < best.cpuMicroseconds) best = result
  }
  return best ?? { eventsPerSecond: 0, cpuMicroseconds: 0, peakMb: 0 }
}

/** Peak memory of a process that does nothing else, the body made while it is read. */
async function measureMemory(isNaive: boolean): Promise<Result> {
  if (isNaive) {
    const chunks: Buffer[] = []
    for await (const chunk of Readable.from(makeBody(bodyBytes))) chunks.push(chunk as Buffer)
    JSON.parse(Buffer.concat(chunks).toString('utf8'))
  } else await readAll(Readable.from(makeBody(bodyBytes)), new FingerprintTable())
  return { eventsPerSecond: 0, cpuMicroseconds: 0, peakMb: Math.round(process.resourceUsage().maxRSS / 1024) }
}

function runChild(name: string, mode: 'time' | 'memory', mb: string): Result {
  const child = spawnSync(
    process.execPath,
    [fileURLToPath(import.meta.url), '--case', name, '--mode', mode, '--mb', mb, '--piece-kb', flags['piece-kb']],
    {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  return JSON.parse(child.stdout) as Result
}

const NAIVE = 'naive JSON.parse of the whole'

if (flags.case !== undefined) {
  const known = CASES[flags.case]
  if (known === undefined) throw new Error(`no case ${flags.case}`)
  const isNaive = flags.case === NAIVE
  console.log(JSON.stringify(flags.mode === 'memory' ? await measureMemory(isNaive) : await measure(known, isNaive)))
} else {
  for (const name of Object.keys(CASES)) {
    const { eventsPerSecond, cpuMicroseconds } = runChild(name, 'time', flags.mb)
    console.log(
      `${name.padEnd(32)} ${String(eventsPerSecond).padStart(8)} events/s  ${cpuMicroseconds.toFixed(2).padStart(6)} µs CPU an event`,
    )
  }
  for (const [name, mb] of [
    ['whole way', '10'],
    ['whole way', flags.mb],
    ['whole way', String(3 * Number(flags.mb))],
    [NAIVE, flags.mb],
  ] as const) {
    console.log(`${`${name}, ${mb} MB`.padEnd(40)} peak ${runChild(name, 'memory', mb).peakMb} MB`)
  }
}
