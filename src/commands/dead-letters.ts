import { once } from 'node:events'
import type { CollectorConfig } from '../config/types.ts'
import { counted } from '../pipeline/counted.ts'
import type { DeadLetterStore, KeptDeadLetter } from '../pipeline/dead-letters.ts'
import { ConfigurationError, describeError, RetryableError } from '../pipeline/errors.ts'
import { openDeadLetters } from './buffer.ts'
import { retryDeadLetters } from './dead-letters-retry.ts'
import { EXIT } from './exit.ts'
import { load, loggerFor, logWarnings, type ConfigOption } from './load.ts'
import { tellTrouble } from './tell.ts'

const SHOWN_CHARACTERS = 500
/** Removed at once: a running collector waits for the lock no longer than that takes. */
const DROP_PAGE = 1_000

/** `dead-letters`: shows what could not be delivered, sends it again or removes it; also beside a running collector. */
export async function deadLetters(
  options: ConfigOption & { readonly action: 'list' | 'retry' | 'drop'; readonly output: readonly string[]; readonly json?: true },
): Promise<number> {
  const { config, warnings } = await load(options, { checkCertificates: options.action === 'retry' })
  const log = loggerFor(config, 2)
  logWarnings(log, warnings)
  const outputs = options.output.length === 0 ? null : new Set(options.output)
  if (options.action === 'retry') assertConfigured(config, options.output)
  let store: DeadLetterStore | null = null
  try {
    store = await openDeadLetters(config, log)
    if (options.action === 'list') return await list(store, outputs, options.json === true)
    if (options.action === 'drop') return await drop(store, outputs)
    return await retryDeadLetters(config, store, outputs, log)
  } catch (error) {
    if (!(error instanceof RetryableError)) throw error
    tellTrouble(`The dead letters cannot be reached or changed now: ${describeError(error)}`, { code: 'DeadLettersUnreachable', err: error })
    return EXIT.failure
  } finally {
    await store?.close()
  }
}

/** Those of an output that is off or gone can be listed and dropped all the same. */
function assertConfigured({ outputs }: CollectorConfig, names: readonly string[]): void {
  const known = outputs.map(({ name }) => name)
  const problems = names
    .filter((name) => !known.includes(name))
    .map((value) => ({ path: '--output', message: `expected one that is configured and on: ${known.join(', ')}`, value }))
  if (problems.length > 0) throw new ConfigurationError(problems, { code: 'UsageError' })
}

async function list(store: DeadLetterStore, outputs: ReadonlySet<string> | null, json: boolean): Promise<number> {
  let count = 0
  for await (const letter of store.read()) {
    if (!isOf(letter, outputs)) continue
    count += 1
    if (!process.stdout.write(json ? `${JSON.stringify(asJson(letter))}\n` : asLine(letter))) await once(process.stdout, 'drain')
  }
  if (count === 0 && !json) process.stdout.write('There are no dead letters.\n')
  return EXIT.ok
}

async function drop(store: DeadLetterStore, outputs: ReadonlySet<string> | null): Promise<number> {
  let count = 0
  let page: number[] = []
  const removePage = async (): Promise<void> => {
    await store.replace(page, [])
    count += page.length
    page = []
  }
  for await (const letter of store.read()) {
    if (isOf(letter, outputs)) page.push(letter.id)
    if (page.length >= DROP_PAGE) await removePage()
  }
  await removePage()
  process.stdout.write(`${counted(count, 'dead letter')} dropped\n`)
  return EXIT.ok
}

/** Without names all of them, the source's as well. */
function isOf({ output }: KeptDeadLetter, outputs: ReadonlySet<string> | null): boolean {
  return outputs === null || (output !== null && outputs.has(output))
}

function asJson({ id, output, inputId, service, pulledAt, window, at, reason, size, event, fingerprint }: KeptDeadLetter) {
  const bytes = Buffer.from(event.buffer, event.byteOffset, event.byteLength)
  const text = bytes.toString()
  return {
    id,
    output,
    input_id: inputId,
    service,
    at: new Date(at).toISOString(),
    pulled_at: new Date(pulledAt).toISOString(),
    ...(window !== undefined && { window_from: new Date(window.from).toISOString(), window_to: new Date(window.to).toISOString() }),
    reason,
    size,
    fingerprint: Buffer.from(fingerprint).toString('hex'),
    // JSON has no place for bytes that are no text.
    ...(Buffer.from(text).equals(bytes) ? { event: text } : { event_base64: bytes.toString('base64') }),
  }
}

function asLine({ output, inputId, service, at, reason, size, event }: KeptDeadLetter): string {
  const text = Buffer.from(event.subarray(0, SHOWN_CHARACTERS)).toString()
  const rest = size > SHOWN_CHARACTERS ? `... (${size} bytes; --json shows what is kept of it)` : ''
  const line = `${new Date(at).toISOString()}  ${output ?? 'refused by the source'}  ${inputId}/${service}  ${reason}  ${text}${rest}`
  // A line stays one, and no event may steer the terminal.
  return `${line.replace(/[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]/gu, (control) => `\\u${control.charCodeAt(0).toString(16).padStart(4, '0')}`)}\n`
}
