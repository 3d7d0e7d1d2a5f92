/**
 * From a response body to chunks with fingerprints: events a second, processor time by step, and memory.
 *
 *     node test/bench/parse.ts [--mb 100] [--piece-kb 64] [--only NAME] [--json]
 *
 * Every case runs in a process of its own. The naive one collects the body and calls `JSON.parse` on the whole, which is what a program without
 * this code would do; it makes no fingerprints and no lines.
 */
import { spawnSync } from 'node:child_process'
import { hash } from 'node:crypto'
import { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { dataView } from '../../src/sources/proofpoint-tap/bytes.ts'
import { CanonicalWriter } from '../../src/sources/proofpoint-tap/canonical.ts'
import { Carver } from '../../src/sources/proofpoint-tap/carver.ts'
import { FingerprintTable } from '../../src/sources/proofpoint-tap/fingerprints.ts'
import { readResponse } from '../../src/sources/proofpoint-tap/response.ts'
import { Scanner } from '../../src/sources/proofpoint-tap/scanner.ts'

const { values: flags } = parseArgs({
  options: {
    mb: { type: 'string', default: '100' },
    'piece-kb': { type: 'string', default: '64' },
    only: { type: 'string' },
    case: { type: 'string' },
    json: { type: 'boolean', default: false },
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

/** The body's pieces, made once: cutting and making it is not what is measured. */
function makeBody(): { pieces: Buffer[]; events: number } {
  const whole = Buffer.alloc(bodyBytes + 10_000)
  let end = whole.write('{"queryEndTime":"2026-11-20T04:00:00Z","messagesDelivered":[', 0)
  let events = 0
  while (end < bodyBytes) {
    if (events > 0) end += whole.write(',', end)
    end += whole.write(makeEvent(events), end)
    events += 1
  }
  end += whole.write(']}', end)
  const pieces: Buffer[] = []
  for (let from = 0; from < end; from += pieceBytes) pieces.push(Buffer.from(whole.subarray(from, Math.min(end, from + pieceBytes))))
  return { pieces, events }
}

const WINDOW = { from: 0, to: 3_600_000 }
const PULL = { inputId: '12345', service: 'messagesDelivered', pulledAt: 0, environment: null }

async function readAll(body: Readable, seen: FingerprintTable): Promise<number> {
  const parts = readResponse(body, { arrays: new Map([['messagesDelivered', { pull: PULL, seen }]]), window: WINDOW, now: Date.now })
  let events = 0
  for await (const part of parts) events += part.events
  return events
}

/** Runs over the carved elements of the body. */
function forEachElement(pieces: readonly Buffer[], take: (carver: Carver) => void): number {
  const carver = new Carver()
  let elements = 0
  for (const piece of pieces) {
    for (let from = 0; from < piece.length; from += 65_536) {
      carver.give(Uint8Array.from(piece.subarray(from, from + 65_536)))
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

type Case = (pieces: Buffer[]) => number | Promise<number>

const scanner = new Scanner()
const writer = new CanonicalWriter()
const scan = ({ bytes, view, start, end }: Carver): number => scanner.scan(bytes, view, start, end)
const write = (carver: Carver): Uint8Array => {
  scan(carver)
  return writer.write(carver.bytes, carver.view, carver.start, carver.end, scanner.outline, scanner.root)
}

const CASES: Readonly<Record<string, Case>> = {
  /** A generated body, so that nothing of it is in memory before it is read. */
  'whole way': (pieces) => readAll(Readable.from(pieces, { objectMode: true }), new FingerprintTable()),
  'whole way, all seen': async (pieces) => {
    const seen = new FingerprintTable()
    const events = await readAll(Readable.from(pieces), seen)
    started = process.hrtime.bigint()
    startedCpu = process.cpuUsage()
    await readAll(Readable.from(pieces), seen)
    return events
  },
  'naive JSON.parse of the whole': (pieces) => {
    const parsed = JSON.parse(Buffer.concat(pieces).toString('utf8')) as { messagesDelivered: unknown[] }
    return parsed.messagesDelivered.length
  },
  'step: carve (every element)': (pieces) => forEachElement(pieces, () => undefined),
  'step: + scan': (pieces) => forEachElement(pieces, scan),
  'step: + canonical bytes': (pieces) => forEachElement(pieces, write),
  'step: + hash': (pieces) => forEachElement(pieces, (carver) => hash('sha256', write(carver), 'binary')),
}

let started = 0n
let startedCpu = process.cpuUsage()

async function measure(run: Case): Promise<void> {
  // The engine optimises what has run for a while; a collector runs for months.
  const { pieces, events } = makeBody()
  const warm = makeBody.length === 0 ? pieces.slice(0, Math.ceil(20e6 / pieceBytes)) : pieces
  const rssBefore = process.memoryUsage().rss
  if (run !== CASES['naive JSON.parse of the whole']) {
    const tail = Buffer.from(']}')
    await Promise.resolve(run([...warm, tail])).catch(() => undefined)
  }
  started = process.hrtime.bigint()
  startedCpu = process.cpuUsage()
  const count = await run(pieces)
  const cpu = process.cpuUsage(startedCpu)
  const seconds = Number(process.hrtime.bigint() - started) / 1e9
  if (count !== events) throw new Error(`${count} of ${events} events`)
  const extraMb = process.resourceUsage().maxRSS / 1024 - rssBefore / 1048576
  const result = { eventsPerSecond: Math.round(events / seconds), cpuMicroseconds: (cpu.user + cpu.system) / events, extraMb: Math.round(extraMb), events }
  console.log(JSON.stringify(result))
}

if (flags.case !== undefined) {
  const run = CASES[flags.case]
  if (run === undefined) throw new Error(`no case ${flags.case}`)
  await measure(run)
} else {
  const results: Record<string, unknown> = {}
  for (const name of Object.keys(CASES)) {
    if (flags.only !== undefined && flags.only !== name) continue
    const child = spawnSync(process.execPath, [fileURLToPath(import.meta.url), '--case', name, '--mb', flags.mb, '--piece-kb', flags['piece-kb']], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const result = JSON.parse(child.stdout) as { eventsPerSecond: number; cpuMicroseconds: number; extraMb: number; events: number }
    results[name] = result
    if (flags.json) continue
    const { eventsPerSecond, cpuMicroseconds, extraMb } = result
    console.log(`${name.padEnd(32)} ${String(eventsPerSecond).padStart(8)} events/s  ${cpuMicroseconds.toFixed(2).padStart(6)} µs CPU an event  +${extraMb} MB`)
  }
  if (flags.json) console.log(JSON.stringify(results))
}
void dataView
