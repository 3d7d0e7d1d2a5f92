/**
 * What a receiver does with one connection: how it reads, what makes it stop, and how it then ends its side. Every combination is
 * allowed; the presets in `behaviours` are those that were met, most of which look like a success to the client although nothing was read.
 */
export interface DevoBehaviour {
  readonly name: string
  /** `count`: whole lines are received. `discard`: read into memory and lost. `nothing`: not read at all, so that the client's writes back up. */
  readonly reads: 'count' | 'discard' | 'nothing'
  /**
   * What makes it stop reading and, `delayMs` later, end; at `handshake` with a delay it reads until then. Where the client ends its side
   * before that, a connection that counts, or that got no byte, ends like a healthy one.
   */
  readonly stopsAt: 'handshake' | 'first byte' | 'half-close' | 'never' | { readonly lines: number }
  readonly delayMs: number
  /** `fin` is a TCP end without the close_notify of TLS; after either what still comes is thrown away. `nothing`: the connection stays as it is until the client leaves. */
  readonly ends: 'close_notify' | 'fin' | 'reset' | 'nothing'
  /** Reading speed; null: as fast as it comes. */
  readonly bytesPerSecond: number | null
}

/** When a preset acts: after so many lines, or so many milliseconds after the handshake. Neither: at once. */
export type Moment = { readonly lines: number; readonly delayMs?: number } | { readonly afterMs: number } | 'at once' | 'at half-close'

const HEALTHY: DevoBehaviour = { name: 'healthy', reads: 'count', stopsAt: 'half-close', delayMs: 0, ends: 'close_notify', bytesPerSecond: null }

function stopping(moment: Moment): Pick<DevoBehaviour, 'stopsAt' | 'delayMs'> {
  if (moment === 'at once') return { stopsAt: 'handshake', delayMs: 0 }
  if (moment === 'at half-close') return { stopsAt: 'half-close', delayMs: 0 }
  return 'lines' in moment ? { stopsAt: { lines: moment.lines }, delayMs: moment.delayMs ?? 0 } : { stopsAt: 'handshake', delayMs: moment.afterMs }
}

export const behaviours = {
  /** Reads everything, and ends its side cleanly after the client has ended its own: Devo, rsyslog, syslog-ng, HAProxy and stunnel with a living backend. */
  healthy: (): DevoBehaviour => HEALTHY,

  /** Healthy, but never sends a close_notify: nginx. */
  bareFin: (): DevoBehaviour => ({ ...HEALTHY, name: 'bare FIN', ends: 'fin' }),

  /** Refuses the client's certificate. Under TLS 1.3 the client has its 'secureConnect' by then. */
  refuseClient: (): DevoBehaviour => ({ ...HEALTHY, name: 'refuse client', reads: 'nothing', ...stopping('at once'), ends: 'fin' }),

  /** Ends by itself: an idle time-out, a load balancer that drains. Lines up to the moment are received, unless it `reads` nothing. */
  endEarly: (moment: Moment, how: Partial<Pick<DevoBehaviour, 'ends' | 'reads'>> = {}): DevoBehaviour =>
    ({ ...HEALTHY, name: 'end early', ...stopping(moment), ...how }),

  /** A terminator whose backend is down: it gives up after its connect retries (HAProxy: 3 s), with a real close_notify. */
  deadBackend: (afterMs = 3000, reads: 'nothing' | 'discard' = 'nothing'): DevoBehaviour =>
    ({ ...HEALTHY, name: 'dead backend', reads, ...stopping({ afterMs }) }),

  /** A terminator whose backend closes at the first byte. */
  backendCloses: (afterMs = 5): DevoBehaviour => ({ ...HEALTHY, name: 'backend closes', reads: 'discard', stopsAt: 'first byte', delayMs: afterMs }),

  /** A TCP reset. Lines up to the moment are received. */
  reset: (moment: Moment): DevoBehaviour => ({ ...HEALTHY, name: 'reset', ...stopping(moment), ends: 'reset' }),

  /** Killed with -9: what it had read into its memory is lost, and the kernel ends the connection with a FIN of its own. */
  killed: (moment: Moment = 'at half-close'): DevoBehaviour => ({ ...HEALTHY, name: 'killed', reads: 'discard', ...stopping(moment), ends: 'fin' }),

  /** Receives everything and never ends its side. */
  neverEnd: (): DevoBehaviour => ({ ...HEALTHY, name: 'never end', stopsAt: 'never' }),

  /** Stops reading and stays. */
  stall: (afterLines = 0): DevoBehaviour =>
    ({ ...HEALTHY, name: 'stall', ...stopping(afterLines === 0 ? 'at once' : { lines: afterLines }), ends: 'nothing' }),

  /** Healthy, but slow. */
  slow: (bytesPerSecond: number): DevoBehaviour => ({ ...HEALTHY, name: 'slow', bytesPerSecond }),
}
