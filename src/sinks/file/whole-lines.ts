import type { FileHandle } from 'node:fs/promises'

const OPEN = 0x7b
const NEWLINE = 0x0a
const WINDOW_BYTES = 64 * 1024

/** How many bytes of a file are whole lines; null where it, or its torn last line, is no line of JSON objects. */
export async function wholeLines(handle: FileHandle, size: number): Promise<number | null> {
  if (size === 0) return 0
  if ((await byteAt(handle, 0)) !== OPEN) return null
  const end = await behindLastNewline(handle, size)
  return end === size || (await byteAt(handle, end)) === OPEN ? end : null
}

async function behindLastNewline(handle: FileHandle, size: number): Promise<number> {
  const window = Buffer.alloc(WINDOW_BYTES)
  for (let end = size; end > 0; end -= WINDOW_BYTES) {
    const start = Math.max(0, end - WINDOW_BYTES)
    const { bytesRead } = await handle.read(window, 0, end - start, start)
    const found = window.subarray(0, bytesRead).lastIndexOf(NEWLINE)
    if (found !== -1) return start + found + 1
  }
  return 0
}

async function byteAt(handle: FileHandle, at: number): Promise<number | undefined> {
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(1), 0, 1, at)
  return bytesRead === 1 ? buffer[0] : undefined
}
