import type { Socket } from 'node:net'

const SLICE_BYTES = 512 * 1024

/** A write is one step for the kernel, however large, and tells nothing on the way: what is larger goes in slices, so that it shows progress. */
export function writeInSlices(socket: Socket, bytes: Buffer, taken: (bytes: number) => void, done: (error?: Error | null) => void): void {
  const slice = bytes.subarray(0, SLICE_BYTES)
  socket.write(slice, (error) => {
    if (!error) taken(slice.length)
    if (error || slice.length === bytes.length) done(error)
    else writeInSlices(socket, bytes.subarray(SLICE_BYTES), taken, done)
  })
}
