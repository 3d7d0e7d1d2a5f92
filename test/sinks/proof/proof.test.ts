import { beforeEach, describe, expect, test } from 'vitest'
import type { Connection, PeerEnd } from '../../../src/sinks/proof/connection.ts'
import { PeerEndError, Proof, type ProofRules } from '../../../src/sinks/proof/proof.ts'
import { ManualClock } from '../manual-clock.ts'

/** The peer's side is played by the test, which calls the proof itself. */
class ScriptedConnection implements Connection {
  bytesFlushed = 0
  destroyed = false
  endCalled = false
  unflushed: { readonly bytes: number; readonly flushed: () => void }[] = []
  ended: () => void = () => undefined
  /** Arrivals that a late event loop has not read yet: reported before `afterArrivals` calls back. */
  arrivals: () => void = () => undefined

  write(bytes: Uint8Array, flushed: () => void): void {
    this.unflushed.push({ bytes: bytes.length, flushed })
  }

  flush(): void {
    for (const { bytes, flushed } of this.unflushed.splice(0)) {
      this.bytesFlushed += bytes
      flushed()
    }
  }

  end(ended: () => void): void {
    this.endCalled = true
    this.ended = ended
  }

  afterArrivals(callback: () => void): void {
    this.arrivals()
    callback()
  }

  destroy(): void {
    this.destroyed = true
  }
}

const RULES: ProofRules = { confirm: 'drain', silentMs: 1_000, drainTimeoutMs: 30_000, needsCloseNotify: false, peer: 'devo.test:443', kind: 'a Devo endpoint', credential: 'our client certificate me.crt' }
const CLEAN: PeerEnd = { closeNotify: true }
const BARE_FIN: PeerEnd = { closeNotify: false }
const EVENT = Buffer.from('event\n')

let clock: ManualClock
let connection: ScriptedConnection

beforeEach(() => {
  clock = new ManualClock()
  connection = new ScriptedConnection()
})

function begin(rules: Partial<ProofRules> = {}): Proof {
  const proof = new Proof({ ...RULES, ...rules }, clock)
  proof.begin(connection)
  return proof
}

/** Up to our own end. */
function sent(rules: Partial<ProofRules> = {}): Proof {
  const proof = begin(rules)
  proof.write(EVENT, () => undefined)
  connection.flush()
  proof.conclude()
  clock.advance(rules.silentMs ?? RULES.silentMs)
  return proof
}

function peerEnds(proof: Proof, end: PeerEnd | null): void {
  proof.peerEnding()
  if (end !== null) proof.peerEnded()
  proof.closed(end)
}

async function outcome(proof: Proof): Promise<'delivered' | 'pending' | Error> {
  return await Promise.race([
    proof.result.then(() => 'delivered' as const, (error: unknown) => (error instanceof Error ? error : new Error(String(error)))),
    new Promise<'pending'>((resolve) => setImmediate(() => resolve('pending'))),
  ])
}

describe('delivered', () => {
  test('when flushed, silent, ended by us, then ended by the peer, and closed', async () => {
    const proof = begin()
    proof.write(EVENT, () => undefined)
    proof.conclude()
    clock.advance(29_000)
    expect(connection.endCalled).toBe(false)
    connection.flush()
    clock.advance(999)
    expect(connection.endCalled).toBe(false)
    clock.advance(1)
    expect(connection.endCalled).toBe(true)
    proof.peerEnding()
    proof.peerEnded()
    expect(await outcome(proof)).toBe('pending')
    proof.closed(CLEAN)
    expect(await outcome(proof)).toBe('delivered')
    expect(clock.pendingTimers).toBe(0)
    expect(connection.destroyed).toBe(true)
  })

  test('also without a close_notify, where the endpoint is not known to send one', async () => {
    const proof = sent()
    peerEnds(proof, BARE_FIN)
    expect(await proof.result).toEqual(BARE_FIN)
  })

  test('nothing takes it back', async () => {
    const proof = sent()
    peerEnds(proof, CLEAN)
    proof.failed(new Error('too late'))
    proof.abandon(new Error('too late'))
    expect(await outcome(proof)).toBe('delivered')
  })

  test('with settle, when the silence was kept and our end has gone out; the peer need not end', async () => {
    const proof = sent({ confirm: 'settle', silentMs: 10_000 })
    expect(await outcome(proof)).toBe('pending')
    connection.ended()
    expect(await outcome(proof)).toBe('delivered')
    expect(connection.destroyed).toBe(true)
    expect(clock.pendingTimers).toBe(0)
  })
})

describe('void', () => {
  test.each<[string, (proof: Proof) => void]>([
    ['the peer ends while we write', (proof) => peerEnds(proof, CLEAN)],
    ['the peer ends after everything was flushed, before our end', (proof) => {
      connection.flush()
      proof.conclude()
      clock.advance(999)
      peerEnds(proof, CLEAN)
    }],
    ['the peer sends data during the silence', (proof) => {
      connection.flush()
      proof.conclude()
      proof.peerSent(1)
    }],
    ['an error comes while we write', (proof) => proof.failed(new Error('reset'))],
    ['the connection closes without an end', (proof) => proof.closed(null)],
  ])('%s', async (_name, happens) => {
    for (const confirm of ['drain', 'settle'] as const) {
      connection = new ScriptedConnection()
      const proof = begin({ confirm })
      proof.write(EVENT, () => undefined)
      happens(proof)
      expect(await outcome(proof)).toBeInstanceOf(Error)
      expect(connection.endCalled).toBe(false)
      expect(connection.destroyed).toBe(true)
      expect(clock.pendingTimers).toBe(0)
    }
  })

  test.each<[string, (proof: Proof) => void]>([
    ['an error comes after our end', (proof) => proof.failed(new Error('reset'))],
    ['an error comes after the peer has ended', (proof) => {
      proof.peerEnding()
      proof.peerEnded()
      proof.failed(new Error('reset'))
    }],
    ['the connection closes without the peer having ended', (proof) => proof.closed(null)],
    ['the peer answers our end with data', (proof) => proof.peerSent(2)],
  ])('%s', async (_name, happens) => {
    const proof = sent()
    expect(connection.endCalled).toBe(true)
    happens(proof)
    proof.closed(CLEAN)
    expect(await outcome(proof)).toBeInstanceOf(Error)
    expect(clock.pendingTimers).toBe(0)
  })

  test('an end that began before ours counts as earlier, even where it is heard of later', async () => {
    const proof = begin()
    proof.conclude()
    proof.peerEnding()
    clock.advance(60_000)
    expect(connection.endCalled).toBe(false)
    proof.peerEnded()
    proof.closed(CLEAN)
    expect(await outcome(proof)).toBeInstanceOf(Error)
  })

  test('an end that a late event loop had not read yet when the silence was over', async () => {
    const proof = begin()
    proof.conclude()
    connection.arrivals = () => proof.peerEnding()
    clock.advance(1_000)
    expect(connection.endCalled).toBe(false)
    expect(await outcome(proof)).toMatchObject({ message: expect.stringContaining('before we ended our side') as string })
  })

  test('an end without a close_notify, where one is known to come; nothing may be sent before another probe', async () => {
    const proof = sent({ needsCloseNotify: true })
    peerEnds(proof, BARE_FIN)
    expect(await outcome(proof)).toBeInstanceOf(PeerEndError)
  })

  test('a peer that never ends its side; the message says what to do', async () => {
    const proof = sent()
    clock.advance(29_999)
    expect(await outcome(proof)).toBe('pending')
    clock.advance(1)
    const error = await outcome(proof)
    expect(error).toBeInstanceOf(PeerEndError)
    expect(error).toMatchObject({ message: expect.stringMatching(/devo\.test:443 did not end its side within 30 s.*confirm: settle/) as string })
    expect(connection.destroyed).toBe(true)
  })

  test('a peer that takes nothing more; one that is only slow is waited for', async () => {
    const proof = begin()
    proof.write(EVENT, () => undefined)
    clock.advance(29_000)
    connection.bytesFlushed += 1
    clock.advance(29_000)
    expect(await outcome(proof)).toBe('pending')
    clock.advance(31_000)
    expect(await outcome(proof)).toMatchObject({ message: 'devo.test:443 has taken nothing for 30 s' })
  })

  test('an idle connection, behind everything flushed, is not taken for a stalled one', async () => {
    const proof = begin()
    proof.write(EVENT, () => undefined)
    connection.flush()
    clock.advance(3_600_000)
    expect(await outcome(proof)).toBe('pending')
    proof.abandon(new Error('enough'))
    expect(await outcome(proof)).toMatchObject({ message: 'enough' })
  })

  test('before there is a connection: it is closed as soon as it comes', async () => {
    const proof = new Proof(RULES, clock)
    proof.peerEnding()
    proof.peerEnded()
    proof.begin(connection)
    expect(connection.destroyed).toBe(true)
    expect(await outcome(proof)).toBeInstanceOf(Error)
  })
})

test('room is given back as writes are flushed', () => {
  const proof = begin()
  const flushed: number[] = []
  proof.write(EVENT, () => flushed.push(1))
  proof.write(EVENT, () => flushed.push(2))
  expect(proof.unflushedBytes).toBe(12)
  connection.flush()
  expect(proof.unflushedBytes).toBe(0)
  expect(flushed).toEqual([1, 2])
})
