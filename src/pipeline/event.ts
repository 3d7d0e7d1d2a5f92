import type { Window } from './unit.ts'

/**
 * Terminology. An *event* is one click or message as Proofpoint sent it: the bytes of one JSON object in one line.
 * A *chunk* holds up to 100 events or 256 KiB of one pull; it is how events travel and how they are stored.
 * A *batch* is a chunk on its way to an output, with what is known of its pull.
 */

/** How many events and bytes a chunk holds at most; a single larger event is a chunk of its own. */
export const CHUNK_MAX_EVENTS = 100
export const CHUNK_MAX_BYTES = 256 * 1024
export const FINGERPRINT_BYTES = 16

export interface Pull {
  readonly inputId: string
  readonly service: string
  /** Epoch milliseconds: the instant of the pull, and its id (`@devo_pulling_id`). One pass is one pull. */
  readonly pulledAt: number
  /** The input's `environment`, or null where it has none. */
  readonly environment: string | null
}

export interface Chunk {
  /** One JSON object a line, every line ends with `\n`; a view of the whole of its own ArrayBuffer, so that it can be transferred. */
  readonly lines: Uint8Array
  /** 16 bytes for each line, in the order of the lines. Its length tells the number of events. */
  readonly fingerprints: Uint8Array
}

export interface Batch extends Pull, Chunk {
  /** That brought its events, where the buffer tells. */
  readonly window?: Window
}

export function countEvents(chunk: Chunk): number {
  return chunk.fingerprints.length / FINGERPRINT_BYTES
}

const NEWLINE = 0x0a

/** The events of a chunk as views, without their line ends. */
export function* eventsOf(chunk: Chunk): Generator<Uint8Array, void, undefined> {
  const { lines } = chunk
  // A Buffer looks for a byte many times as fast.
  const bytes = Buffer.from(lines.buffer, lines.byteOffset, lines.byteLength)
  let start = 0
  while (start < lines.length) {
    const end = bytes.indexOf(NEWLINE, start)
    yield lines.subarray(start, end)
    start = end + 1
  }
}

/** Gives a chunk's memory back now and not when the garbage collector comes round to it. The chunk is empty afterwards. */
export function releaseBytes(chunk: Chunk): void {
  for (const { buffer, byteLength } of [chunk.lines, chunk.fingerprints]) {
    // A view of a part is not alone with its memory.
    if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) buffer.transfer(0)
  }
}
