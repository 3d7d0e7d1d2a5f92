import type { TapObject } from './tap-event-shapes.ts'
import type { Random } from './tap-random.ts'
import type { TapEvent } from './tap-store.ts'

type Nasty = (event: TapObject, random: Random) => Pick<TapEvent, 'content' | 'style'>

/** Puts a JSON number into a tree exactly as it is written: a number of JavaScript would round it. */
export function writtenNumber(text: string): unknown {
  // JSON.rawJSON is in every Node that runs this, but not yet in the type library.
  return (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON(text)
}

/** Everything that is odd but allowed, and that careless code loses, rounds or changes. All of it is one valid JSON object. */
export const NASTY: Readonly<Record<string, Nasty>> = {
  mojibake: (event) => ({ content: { ...event, subject: 'RechnungsÃ¼bersicht â€“ dÃ©tails \u0081\u008d\ufffd' } }),
  emoji: (event) => ({ content: { ...event, subject: '👩‍👩‍👧 zahlt 💶 an 𝔅ö𝔰𝔢', '🔑': '🇪🇺' } }),
  'escaped unicode': (event) => ({ content: { ...event, subject: 'é 😀 \u2028 /path' }, style: 'escaped' }),
  'lone surrogates': (event) => ({ content: { ...event, subject: `\ud83d half \ude00` } }),
  'control characters': (event) => ({ content: { ...event, subject: 'a\nb\r\nc\td\u0000e\u001ff\u007f', headerFrom: '\\"\\\\"' } }),
  'line separators': (event) => ({ content: { ...event, subject: 'a\u2028b\u2029c\u0085d' } }),
  numbers: (event) => ({
    content: {
      ...event,
      impostorScore: writtenNumber('0.0'),
      messageSize: writtenNumber('12345678901234567890'),
      spamScore: writtenNumber('-0'),
      phishScore: writtenNumber('1E+2'),
      malwareScore: writtenNumber('0.1000000000000000055511151231257827'),
    },
  }),
  'unknown fields': (event, random) => ({
    content: { [`x${random.hex(4)}`]: { nested: [[], {}, [{ deep: [null, true, false] }]] }, ...event, '': 'no name', 'a.b/c~d "e"': 1 },
  }),
  'no id': ({ id: _, ...event }) => ({ content: event }),
  'null lists': (event) => ({
    content: { ...event, messageParts: null, threatsInfoMap: null, fromAddress: null, toAddresses: null, policyRoutes: null, modulesRun: null },
  }),
  'spelling of the documentation': ({ cluster, threatsInfoMap, recipient, ...event }) => ({
    content: {
      ...event,
      clusterId: cluster,
      completelyRewritten: 'na',
      recipient: Array.isArray(recipient) ? (recipient[0] as unknown) : recipient,
      policyRoutes: 'default_inbound',
      threatsInfoMap: Array.isArray(threatsInfoMap)
        ? threatsInfoMap.map(({ threatID, campaignID, ...threat }: TapObject) => ({ ...threat, threatId: threatID, campaignId: campaignID }))
        : undefined,
    },
  }),
  'white space': (event) => ({ content: { ...event, empty: {}, none: [] }, style: 'spaced' }),
  'pull id of its own': (event) => ({ content: { '@devo_pulling_id': '1', ...event } }),
  'environment of its own': (event) => ({ content: { ...event, '@devo_environment': 'theirs' } }),
  'names of prototypes': (event) => ({
    content: Object.defineProperty({ ...event, constructor: 1, toString: null }, '__proto__', { value: { polluted: true }, enumerable: true }),
  }),
  'name twice': (event) => ({ content: `${JSON.stringify(event).slice(0, -1)},"twice":1,"twice":2}` }),
}

const NAMES = Object.keys(NASTY)

export function makeNasty(event: TapObject, random: Random): Pick<TapEvent, 'content' | 'style'> {
  const nasty = NASTY[NAMES[random.below(NAMES.length)] ?? '']
  return nasty === undefined ? { content: event } : nasty(event, random)
}

/** What no client can deliver as an event, or only with a bound on size and depth; each is one element of the array. */
export const HOSTILE: Readonly<Record<string, () => string | Uint8Array>> = {
  number: () => '42',
  text: () => '"not an object"',
  null: () => 'null',
  list: () => '[{"id":"inside a list"}]',
  'not JSON': () => '{"id":"leading zero","n":01}',
  huge: () => `{"id":"huge","filler":"${'x'.repeat(20 * 1024 * 1024)}"}`,
  deep: () => `{"id":"deep","d":${'['.repeat(10_000)}${']'.repeat(10_000)}}`,
  'not UTF-8': () => Buffer.from('{"id":"not utf-8","subject":"caf\xe9 \xff\xfe"}', 'latin1'),
}
