/**
 * The connection as the proof needs it, one of the collector's seams: a simulation puts its own in the place of TLS (`Connect`).
 * All reports come in the order in which things happened on the wire.
 */
export interface PeerWatcher {
  /** The first sign that the peer ends its side, before it is known how: at the record, not when a stream gets round to its 'end'. */
  peerEnding(): void
  /** No more data can come from the peer. */
  peerEnded(): void
  /** The peer has sent something that is meant for the application. */
  peerSent(bytes: number): void
  /** Anything that went wrong. The connection is then of no use; its owner owes a `destroy()`. */
  failed(error: Error): void
  /** The last report, always: nothing of the connection is left open. Null: the peer never ended its side in an orderly way. */
  closed(end: PeerEnd | null): void
}

/** How the peer ended its side. */
export interface PeerEnd {
  /** With TLS's own end, so that nobody on the way can have cut the stream; a bare FIN may come from a dying machine too. */
  readonly closeNotify: boolean
}

export interface Connection {
  /** Grows while bytes reach the kernel; tells a slow peer from a stalled one. */
  readonly bytesFlushed: number
  /** The bytes must stay as they are until `flushed`, which comes when the kernel has them all, and never after a failure. */
  write(bytes: Uint8Array, flushed: () => void): void
  /** Ends our side behind everything written; the peer's stays open. */
  end(ended: () => void): void
  /** Calls back once everything that had arrived by now has been reported to the watcher, also where the event loop was late. */
  afterArrivals(callback: () => void): void
  /** Closes both sides at once. Safe at any time, also twice; `closed` still comes. */
  destroy(): void
}

/**
 * Opens a connection, ready for writing. Rejects with a RetryableError that names the cause, or with the signal's reason; the watcher is
 * then not called. The signal counts only until the connection is open.
 */
export type Connect = (watcher: PeerWatcher, signal: AbortSignal) => Promise<Connection>
