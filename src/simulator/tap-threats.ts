import { Random } from './tap-random.ts'

/** The real ones are SHA-256 hashes. */
const ID = /^[0-9a-f]{64}$/

/**
 * Summaries of threats. Every hash is a threat, with a summary that only the seed and the id make, until a test says otherwise: the events that are made for
 * a window name more of them than anybody could list.
 */
export class TapThreats {
  readonly #seed: number
  readonly #told = new Map<string, string | null>()

  constructor(seed: number) {
    this.#seed = seed
  }

  /** The JSON text of a summary from now on, as it is; null: there is no such threat. */
  set(id: string, summary: string | null): void {
    this.#told.set(id, summary)
  }

  /** Null: there is no such threat. */
  find(id: string): string | null {
    const told = this.#told.get(id)
    if (told !== undefined) return told
    return ID.test(id) && !/^0+$/.test(id) ? JSON.stringify(this.#make(id)) : null
  }

  #make(id: string): object {
    const random = new Random(this.#seed, 'threat', id)
    const named = (name: string): object[] => (random.chance(0.5) ? [] : [{ id: random.hex(32), name }])
    return {
      id,
      identifiedAt: new Date(Date.UTC(2026, 0, 1) + random.below(300) * 86_400_000).toISOString(),
      name: `${random.hex(10)}.example.com/${random.hex(6)}`,
      type: random.pick(['attachment', 'url', 'message text']),
      category: random.pick(['impostor', 'malware', 'phish', 'spam']),
      status: random.pick(['active', 'cleared']),
      detectionType: 'NONE',
      // Two spellings exist.
      ...(random.chance(0.5)
        ? { severityScore: random.below(1_001), verticallyTargeted: false, geoTargeted: false }
        : { severity: random.below(101), verticals: [], geographies: [] }),
      attackSpread: 1 + random.below(200),
      notable: random.chance(0.1),
      actors: named('TA 542'), families: named('Credential Phishing'), malware: named('Emotet \u00e9'), techniques: [], brands: named('Example'),
    }
  }
}
