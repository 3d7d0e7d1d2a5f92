import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, statfsSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { openEmbeddedBuffer } from '../../../src/buffers/embedded/embedded.ts'
import { BufferFullError } from '../../../src/pipeline/buffer.ts'
import type { EventBuffer } from '../../../src/pipeline/buffer.ts'
import { RetryableError } from '../../../src/pipeline/errors.ts'
import type { Unit } from '../../../src/pipeline/unit.ts'
import { deadLetterOf, INPUT, numbered, openShares, padded, readShipment, SERVICE, unitOf } from '../../contract/buffer-units.ts'
import { MIB, openFor, optionsFor, temporaryFolder } from './fixtures.ts'

/** About 1.1 MiB; its events say which unit they are of. */
const megabyte = (n: number): Unit =>
  unitOf({ chunks: Array.from({ length: 5 }, (_, chunk) => padded(n * 1000 + chunk * 100, 100, 2200)), position: { settled: n + 1 } })

/** Appends until the buffer refuses; returns how many units it took and why. */
async function fill(buffer: EventBuffer, from = 0): Promise<{ units: number; error: unknown }> {
  for (let n = from; ; n += 1) {
    try {
      await buffer.append(megabyte(n))
    } catch (error) {
      return { units: n, error }
    }
  }
}

const onDisk = (dir: string) =>
  ['buffer.db', 'buffer.db-wal'].reduce((sum, file) => sum + (statSync(join(dir, file), { throwIfNoEntry: false })?.size ?? 0), 0)
const settledOf = async (buffer: EventBuffer) => (await buffer.loadService(INPUT, SERVICE))?.settled

describe('the size limit', () => {
  const maxSizeBytes = 24 * MIB

  test('undelivered events fill it: appends are refused with a clear error, nothing is lost, the disk is bounded', async () => {
    const dir = temporaryFolder()
    const buffer = await openFor(dir, { maxSizeBytes })
    await openShares(buffer, [{ name: 'devo', startFrom: 'now' }])
    const { units, error } = await fill(buffer)
    expect(error).toBeInstanceOf(BufferFullError)
    expect(String(error)).toMatch(/buffer\.db is full: .* of 24 MB \(max_size_in_mb\).*goes on by itself/)
    await expect(buffer.assertRoom()).rejects.toBeInstanceOf(BufferFullError)
    expect(units).toBeGreaterThan(15)
    expect(onDisk(dir)).toBeLessThanOrEqual(maxSizeBytes)
    expect(await settledOf(buffer)).toBe(units)
    expect((await readShipment(buffer, 'devo', '0')).eventsRead).toBe(units * 500)
    // Small things that make room, or keep the quota, still work.
    await buffer.count('pool', 1, 0)
    await buffer.commit('devo', '1', [deadLetterOf('{}', 'devo')])
  })

  test('delivered events go first, oldest first, before their retention ends', async () => {
    const dir = temporaryFolder()
    const buffer = await openFor(dir, { maxSizeBytes })
    await openShares(buffer, [{ name: 'devo', startFrom: 'now' }])
    let cursor = '0'
    for (let n = 0; n < 60; n += 1) {
      await buffer.assertRoom()
      await buffer.append(megabyte(n))
      const shipment = await readShipment(buffer, 'devo', cursor)
      expect(shipment.events[0]).toMatch(`{"n":${n * 1000},`)
      await buffer.commit('devo', shipment.cursor, [])
      cursor = shipment.cursor
      expect(onDisk(dir)).toBeLessThanOrEqual(maxSizeBytes)
    }
    const kept = (await readShipment(buffer, 'devo', '0')).events
    expect(kept.at(-1)).toMatch('{"n":59499,')
    expect(kept.length).toBeGreaterThan(10 * 500)
    const other = await openShares(buffer, [{ name: 'devo', startFrom: 'now' }, { name: 'late', startFrom: 'oldest' }])
    expect((await readShipment(buffer, 'late', other.get('late')?.cursor ?? '')).events).toEqual(kept)
  })

  test('a service that has yet to read events may append what makes room by it, whatever others have filled', async () => {
    const dir = temporaryFolder()
    const buffer = await openFor(dir, { maxSizeBytes })
    const shares = await openShares(buffer, [{ name: 'devo', startFrom: 'now' }, { name: 'in/threats', startFrom: 'now', feedsService: true }])
    const { units } = await fill(buffer)
    const { cursor: delivered } = await readShipment(buffer, 'devo', shares.get('devo')?.cursor ?? '')
    await buffer.commit('devo', delivered, [])
    await expect(buffer.assertRoom()).rejects.toBeInstanceOf(BufferFullError)
    let from = shares.get('in/threats')?.cursor ?? ''
    let read = 0
    while (read < units * 500) {
      const page = await readShipment(buffer, 'in/threats', from, { maxBytes: 4 * MIB })
      read += page.eventsRead
      // Every event brings a fifth of itself, and an output delivers that at once.
      const made = padded(read, page.eventsRead, 400)
      await buffer.assertRoom(true)
      await buffer.append(unitOf({ chunks: [made.slice(0, 1000), made.slice(1000)], service: 'threats', readTo: page.cursor }))
      await buffer.commit('in/threats', page.cursor, [])
      await buffer.commit('devo', page.cursor, [])
      from = page.cursor
      expect(onDisk(dir)).toBeLessThanOrEqual(maxSizeBytes)
    }
    await buffer.assertRoom()
  })

  test('many tiny delivered chunks make room as well', async () => {
    const buffer = await openFor(temporaryFolder(), { maxSizeBytes: 16 * MIB })
    await openShares(buffer, [{ name: 'devo', startFrom: 'now' }])
    for (let n = 0; n < 12; n += 1) await buffer.append(unitOf({ chunks: Array.from({ length: 700 }, (_, index) => padded(index, 1, 1200)) }))
    await buffer.commit('devo', (await readShipment(buffer, 'devo', '0')).cursor, [])
    for (let n = 0; n < 8; n += 1) await buffer.append(megabyte(n))
  })

  test('once full it stays full until a share is free, then goes on by itself', async () => {
    const buffer = await openFor(temporaryFolder(), { maxSizeBytes })
    await openShares(buffer, [{ name: 'devo', startFrom: 'now' }])
    const { units } = await fill(buffer)
    const tiny = () => unitOf({ chunks: [numbered(0, 1)] })
    await expect(buffer.append(tiny())).rejects.toBeInstanceOf(BufferFullError)
    const one = await readShipment(buffer, 'devo', '0', { maxEvents: 100 })
    await buffer.commit('devo', one.cursor, [])
    await expect(buffer.append(tiny())).rejects.toBeInstanceOf(BufferFullError)
    const more = await readShipment(buffer, 'devo', one.cursor, { maxEvents: 5000 })
    await buffer.commit('devo', more.cursor, [])
    await buffer.assertRoom()
    await buffer.append(megabyte(units))
    const rest = await readShipment(buffer, 'devo', more.cursor)
    expect(one.eventsRead + more.eventsRead + rest.eventsRead).toBe((units + 1) * 500)
  })

  test('a lower limit than what is there is reached step by step', async () => {
    const dir = temporaryFolder()
    const large = await openEmbeddedBuffer(optionsFor(dir))
    await openShares(large, [{ name: 'devo', startFrom: 'now' }])
    for (let n = 0; n < 40; n += 1) await large.append(megabyte(n))
    await large.commit('devo', (await readShipment(large, 'devo', '0')).cursor, [])
    await large.close()
    const small = await openFor(dir, { maxSizeBytes })
    await small.assertRoom()
    expect((await small.snapshot()).sizeInBytes).toBeLessThan(maxSizeBytes)
  })
})

/** Mounts a file system so small that it can be filled; throws where that is not allowed. */
function mountTinyDisk(path: string, mebibytes: number): void {
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${mebibytes}m`, 'tmpfs', path], { stdio: 'pipe' })
}

function mountIsAllowed(): boolean {
  const path = mkdtempSync(join(tmpdir(), 'tap-buffer-'))
  try {
    mountTinyDisk(path, 1)
    execFileSync('umount', [path])
    return true
  } catch (error) {
    console.warn(`SKIPPED: tests of a full and a read-only disk, which mount a small tmpfs: ${String(error)}`)
    return false
  } finally {
    rmSync(path, { recursive: true })
  }
}

describe.skipIf(!mountIsAllowed())('a real disk', () => {
  function disk(mebibytes: number): string {
    const path = join(temporaryFolder(), 'disk')
    mkdirSync(path)
    mountTinyDisk(path, mebibytes)
    onTestFinished(() => void execFileSync('umount', ['-l', path]))
    return path
  }

  test('that the buffer fills itself: refused with a clear error, nothing lost, and delivering makes room again', async () => {
    const dir = disk(32)
    const buffer = await openFor(dir, { maxSizeBytes: 1024 * MIB })
    await openShares(buffer, [{ name: 'devo', startFrom: 'now' }])
    let units = 0
    let cursor = '0'
    for (let round = 0; round < 3; round += 1) {
      const { units: reached, error } = await fill(buffer, units)
      expect(error).toBeInstanceOf(BufferFullError)
      expect(String(error)).toMatch(/disk .* is full: .* MB are free/)
      expect(reached).toBeGreaterThan(units + 5)
      expect(await settledOf(buffer)).toBe(reached)
      const shipment = await readShipment(buffer, 'devo', cursor)
      expect(shipment.eventsRead).toBe((reached - units) * 500)
      await buffer.commit('devo', shipment.cursor, [])
      cursor = shipment.cursor
      units = reached
    }
  })

  test('that something else fills: every write fails whole, and goes on when there is room', async () => {
    const dir = disk(32)
    const buffer = await openFor(dir)
    await openShares(buffer, [{ name: 'devo', startFrom: 'now' }])
    await buffer.append(megabyte(0))
    const { cursor } = await readShipment(buffer, 'devo', '0')
    const ballast = join(dir, 'ballast')
    const { bavail, bsize } = statfsSync(dir)
    writeFileSync(ballast, Buffer.alloc(bavail * bsize))
    await expect(buffer.append(megabyte(1))).rejects.toBeInstanceOf(BufferFullError)
    await expect(buffer.assertRoom()).rejects.toThrow(/the disk/)
    expect(await settledOf(buffer)).toBe(1)
    // The log holds what a commit needs until its end; then SQLite itself finds the disk full.
    const big = deadLetterOf(`{"pad":"${'x'.repeat(5 * MIB)}"}`, 'devo')
    const refused = buffer.commit('devo', cursor, [big])
    await expect(refused).rejects.toBeInstanceOf(BufferFullError)
    await expect(refused).rejects.toThrow(/the disk is full; free some space there/)
    expect((await buffer.snapshot()).outputs).toMatchObject([{ backlogEvents: 500, deadLetters: 0, provenAt: 0 }])
    rmSync(ballast)
    await buffer.commit('devo', cursor, [big])
    await buffer.append(megabyte(1))
    expect((await buffer.snapshot()).outputs).toMatchObject([{ backlogEvents: 500, deadLetters: 1 }])
    expect((await readShipment(buffer, 'devo', cursor)).events[0]).toMatch('{"n":1000,')
  })

  test('that is full or read-only at the start: an error to wait on, and then it opens', async () => {
    const dir = disk(8)
    const ballast = join(dir, 'ballast')
    const { bavail, bsize } = statfsSync(dir)
    writeFileSync(ballast, Buffer.alloc(bavail * bsize))
    const full = openEmbeddedBuffer(optionsFor(dir))
    await expect(full).rejects.toBeInstanceOf(RetryableError)
    await expect(full).rejects.toThrow(/the disk is full/)
    rmSync(ballast)
    await (await openEmbeddedBuffer(optionsFor(dir))).close()
    execFileSync('mount', ['-o', 'remount,ro', dir])
    for (const inThread of [true, false]) {
      const readOnly = openEmbeddedBuffer(optionsFor(dir, { inThread }))
      await expect(readOnly).rejects.toBeInstanceOf(RetryableError)
      await expect(readOnly).rejects.toThrow(/read-only|may not write/)
    }
    for (const missing of ['below', 'further/below']) {
      const below = openEmbeddedBuffer(optionsFor(join(dir, missing)))
      await expect(below).rejects.toBeInstanceOf(RetryableError)
    }
    execFileSync('mount', ['-o', 'remount,rw', dir])
    await (await openEmbeddedBuffer(optionsFor(dir))).close()
  })
})
