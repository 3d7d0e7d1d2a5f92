const HEX = Array.from({ length: 65_536 }, (_, number) => number.toString(16).padStart(4, '0'))

/** Pseudo-random numbers that depend on nothing but their seed: a simulation that fails can be run again. */
export class Random {
  #state: number

  /** Any number of integers (or texts) make one seed; the same ones always give the same run of numbers. */
  constructor(...seed: readonly (number | string)[]) {
    let hash = 0x9e3779b9
    for (const part of seed) hash = typeof part === 'number' ? mixNumber(hash, part) : mixText(hash, part)
    this.#state = hash
  }

  /** At least 0 and below 2^32. */
  #step(): number {
    this.#state = (this.#state + 0x9e3779b9) | 0
    return mix(this.#state) >>> 0
  }

  /** At least 0 and below 1. */
  next(): number {
    return this.#step() / 2 ** 32
  }

  /** An integer of at least 0 and below `limit`. */
  below(limit: number): number {
    return Math.floor(this.next() * limit)
  }

  chance(probability: number): boolean {
    return this.next() < probability
  }

  pick<T>(list: readonly [T, ...T[]]): T {
    return list[this.below(list.length)] ?? list[0]
  }

  hex(digits: number): string {
    let text = ''
    while (text.length < digits) {
      const number = this.#step()
      text += `${HEX[number >>> 16] ?? ''}${HEX[number & 0xffff] ?? ''}`
    }
    return text.length === digits ? text : text.slice(0, digits)
  }

  /** A shuffled copy. */
  shuffled<T>(list: readonly T[]): T[] {
    const copy = [...list]
    for (let last = copy.length - 1; last > 0; last -= 1) {
      const other = this.below(last + 1)
      const held = copy[last]
      // Both indexes are inside the array.
      copy[last] = copy[other] as T
      copy[other] = held as T
    }
    return copy
  }

  /** Visits 0 to length-1 once each in a scattered order. Past 65,536 it keeps no list: the order is then regular, yet far from sorted. */
  *order(length: number): Generator<number, void, undefined> {
    if (length <= 65_536) {
      yield* this.shuffled(Array.from({ length }, (_, index) => index))
      return
    }
    let stride = Math.floor(length * (0.3 + this.next() * 0.4))
    while (greatestDivisor(stride, length) !== 1) stride += 1
    let index = this.below(length)
    for (let count = 0; count < length; count += 1) {
      yield index
      index = (index + stride) % length
    }
  }
}

function mix(value: number): number {
  let hash = value
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return hash ^ (hash >>> 16)
}

function mixNumber(hash: number, value: number): number {
  const low = value | 0
  const high = Math.floor(value / 2 ** 32) | 0
  return mix(Math.imul(mix(Math.imul(hash, 31) + low), 31) + high)
}

function mixText(hash: number, text: string): number {
  let mixed = mixNumber(hash, text.length)
  for (let index = 0; index < text.length; index += 1) mixed = mix(Math.imul(mixed, 31) + text.charCodeAt(index))
  return mixed
}

function greatestDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestDivisor(b, a % b)
}
