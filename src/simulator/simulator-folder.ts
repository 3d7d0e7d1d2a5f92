import { X509Certificate } from 'node:crypto'
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { FatalError } from '../pipeline/errors.ts'
import { makeAuthority, writePemFiles } from './certificates.ts'
import { DAY_MS } from './tap-api.ts'

const KEPT_FILE = 'simulator.json'
/** A start that is older begins anew: the API serves seven days. */
const OLDEST_START_MS = 6 * DAY_MS

/** What stays the same when the simulator is started again in its folder, so that a collector beside it just goes on. */
export interface KeptState {
  /** Of the services, epoch milliseconds. */
  readonly startTime: number
  readonly tapPort: number
  readonly devoPort: number
  readonly pem: Readonly<Record<PemName, string>>
  /** The configuration as the simulator wrote it last. */
  readonly config: string
}

const PEM_NAMES = ['tapCa', 'tapChain', 'tapKey', 'devoCa', 'devoChain', 'devoKey', 'clientCert', 'clientKey'] as const
type PemName = (typeof PEM_NAMES)[number]

export interface StillGood extends Omit<KeptState, 'startTime' | 'pem'> {
  readonly startTime: number | null
  readonly pem: KeptState['pem'] | null
}

/** The folder of a simulator: `config/config.yaml`, `certs/`, `state/`, and `simulator.json` with what it keeps. Nothing is written elsewhere. */
export class SimulatorFolder {
  readonly dir: string
  readonly configPath: string

  constructor(dir: string) {
    this.dir = dir
    this.configPath = join(dir, 'config', 'config.yaml')
  }

  /**
   * What an earlier start kept, with null for what is too old by now; null where there was none. Throws FatalError where the folder holds
   * somebody else's configuration.
   */
  async readKept(now: number): Promise<StillGood | null> {
    const text = await readText(join(this.dir, KEPT_FILE))
    if (text === null) {
      if ((await readText(this.configPath)) === null) return null
      throw new FatalError(`${this.configPath} was not written by the simulator, and it does not overwrite it; choose another folder with --dir`)
    }
    const kept = parse(text)
    if (!isKept(kept)) return null
    const isFresh = kept.startTime >= now - OLDEST_START_MS && kept.startTime <= now
    const areGood = PEM_NAMES.every((name) => name.endsWith('Key') || isGood(kept.pem[name], now))
    return { ...kept, startTime: isFresh ? kept.startTime : null, pem: areGood ? kept.pem : null }
  }

  /**
   * Writes the certificates and the configuration. A configuration that the user has changed stays as long as the ports in it hold;
   * else it is put aside as `config.yaml.old`.
   */
  async write(state: KeptState, before: StillGood | null): Promise<void> {
    const { tapCa, devoCa, clientCert, clientKey } = state.pem
    await writePemFiles(join(this.dir, 'certs'), { 'tap-ca.crt': tapCa, 'chain.crt': devoCa, 'me.crt': clientCert, 'me.key': clientKey })
    await mkdir(join(this.dir, 'config'), { recursive: true })
    await mkdir(join(this.dir, 'state'), { recursive: true })
    const present = await readText(this.configPath)
    const isChanged = present !== null && present !== before?.config
    const isUsable = before?.tapPort === state.tapPort && before.devoPort === state.devoPort
    if (isChanged && !isUsable) await rename(this.configPath, `${this.configPath}.old`)
    if (!isChanged || !isUsable) await writeFile(this.configPath, state.config)
    // It holds private keys, though only of the simulator.
    await writeFile(join(this.dir, KEPT_FILE), `${JSON.stringify(state, null, 1)}\n`, { mode: 0o600 })
  }
}

/** Certificates for both servers and for the collector, each side with an authority of its own. */
export async function makePem(): Promise<KeptState['pem']> {
  const [tapAuthority, devoAuthority] = await Promise.all([
    makeAuthority({ commonName: 'Simulated TAP authority' }),
    makeAuthority({ commonName: 'Simulated Devo authority' }),
  ])
  const [tap, devo, client] = await Promise.all([
    tapAuthority.issue({ commonName: 'Simulated TAP API' }),
    devoAuthority.issue({ commonName: 'Simulated Devo' }),
    devoAuthority.issue({ commonName: 'simulated-domain', client: true }),
  ])
  return {
    tapCa: tapAuthority.certPem,
    tapChain: tap.chainPem,
    tapKey: tap.keyPem,
    devoCa: devoAuthority.certPem,
    devoChain: devo.chainPem,
    devoKey: devo.keyPem,
    clientCert: client.certPem,
    clientKey: client.keyPem,
  }
}

async function readText(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null
    throw new FatalError(`${path} cannot be read`, { cause: error })
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

function isKept(value: unknown): value is KeptState {
  if (typeof value !== 'object' || value === null || !('pem' in value)) return false
  const { pem } = value
  if (typeof pem !== 'object' || pem === null || !PEM_NAMES.every((name) => typeof Reflect.get(pem, name) === 'string')) return false
  return ['startTime', 'tapPort', 'devoPort'].every((name) => Number.isInteger(Reflect.get(value, name))) && 'config' in value && typeof value.config === 'string'
}

/** A certificate that stays valid for another day. */
function isGood(pem: string, now: number): boolean {
  try {
    return new X509Certificate(pem).validToDate.getTime() > now + DAY_MS
  } catch {
    return false
  }
}
