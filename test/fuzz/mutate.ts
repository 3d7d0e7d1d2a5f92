import fc from 'fast-check'

/** One change of some bytes; every place is taken modulo what is there. */
export type Mutation =
  | { readonly kind: 'flip'; readonly at: number; readonly bit: number }
  | { readonly kind: 'set'; readonly at: number; readonly bytes: Uint8Array }
  | { readonly kind: 'insert'; readonly at: number; readonly bytes: Uint8Array }
  | { readonly kind: 'remove'; readonly at: number; readonly length: number }
  | { readonly kind: 'copy'; readonly from: number; readonly length: number; readonly at: number }
  | { readonly kind: 'repeat'; readonly at: number; readonly length: number; readonly times: number }
  | { readonly kind: 'cut'; readonly at: number }

export interface MutationOptions {
  /** What means something in this format: it is put in as often as random bytes. */
  readonly words?: readonly (string | Uint8Array)[]
  readonly most?: number
  readonly kinds?: readonly Mutation['kind'][]
}

/** Numbers that formats choke on, big-endian. */
const EXTREMES = [0, 1, -1, 0x7f, 0x80, 0xff, 0x7fff, 0x7fffffff, -0x80000000].map((value) => {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return new Uint8Array(bytes)
})
/** Varints of a great size, and one that does not end. */
const VARINTS = [[0xff, 0xff, 0xff, 0xff, 0x0f], [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f], new Array<number>(24).fill(0xff)].map((bytes) => Uint8Array.from(bytes))

export function mutations({ words = [], most = 3, kinds }: MutationOptions = {}): fc.Arbitrary<readonly Mutation[]> {
  const at = fc.nat()
  const word = words.length === 0 ? [] : [fc.constantFrom(...words.map((text) => (typeof text === 'string' ? new Uint8Array(Buffer.from(text)) : text)))]
  const bytes = fc.oneof(fc.uint8Array({ minLength: 1, maxLength: 8 }), fc.constantFrom(...EXTREMES, ...VARINTS), ...word, ...word)
  const length = fc.oneof(fc.integer({ min: 1, max: 8 }), fc.nat(2_000))
  const all: { readonly [Kind in Mutation['kind']]: fc.Arbitrary<Mutation & { readonly kind: Kind }> } = {
    flip: fc.record({ kind: fc.constant('flip'), at, bit: fc.nat(7) }),
    set: fc.record({ kind: fc.constant('set'), at, bytes }),
    insert: fc.record({ kind: fc.constant('insert'), at, bytes }),
    remove: fc.record({ kind: fc.constant('remove'), at, length }),
    copy: fc.record({ kind: fc.constant('copy'), from: at, length, at }),
    repeat: fc.record({ kind: fc.constant('repeat'), at, length: fc.integer({ min: 1, max: 40 }), times: fc.nat(300) }),
    cut: fc.record({ kind: fc.constant('cut'), at }),
  }
  const chosen = (kinds ?? KINDS).map((kind): fc.Arbitrary<Mutation> => all[kind])
  return fc.array(fc.oneof(...chosen), { minLength: 1, maxLength: most })
}

const KINDS: readonly Mutation['kind'][] = ['flip', 'set', 'insert', 'remove', 'copy', 'repeat', 'cut']

/** A copy with the changes, one after the other. */
export function mutate(bytes: Uint8Array, changes: readonly Mutation[]): Buffer {
  return changes.reduce<Buffer>((before, change) => apply(before, change), Buffer.from(bytes))
}

function apply(bytes: Buffer, change: Mutation): Buffer {
  const at = change.at % (bytes.length + 1)
  const [before, behind] = [bytes.subarray(0, at), bytes.subarray(at)]
  switch (change.kind) {
    case 'flip': {
      const flipped = Buffer.from(bytes)
      if (at < bytes.length) flipped[at] = (flipped[at] ?? 0) ^ (1 << change.bit)
      return flipped
    }
    case 'set':
      return Buffer.concat([before, change.bytes.subarray(0, behind.length), behind.subarray(change.bytes.length)])
    case 'insert':
      return Buffer.concat([before, change.bytes, behind])
    case 'remove':
      return Buffer.concat([before, behind.subarray(change.length)])
    case 'copy': {
      const from = change.from % (bytes.length + 1)
      return Buffer.concat([before, bytes.subarray(from, from + change.length), behind])
    }
    case 'repeat': {
      const piece = behind.subarray(0, change.length)
      return Buffer.concat([before, ...Array.from({ length: change.times }, () => piece), behind])
    }
    case 'cut':
      return before
  }
}

/** Where the bytes are cut into pieces: at a few places, or all along a stretch, so that a cut lies behind every byte that means something. */
export const cuts: fc.Arbitrary<readonly number[]> = fc.oneof(
  fc.array(fc.nat(), { maxLength: 6 }),
  fc.record({ from: fc.nat(8_000), every: fc.integer({ min: 1, max: 3 }) }).map(({ from, every }) => Array.from({ length: 500 }, (_, index) => from + index * every)),
)
