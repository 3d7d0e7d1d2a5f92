import { readFileSync } from 'node:fs'
import { parse } from 'yaml'

/** As the tests look at it; a key that Compose has and this lacks is of no interest to them. */
export interface Service {
  readonly image: string
  readonly build?: string
  readonly restart: string
  readonly environment: Readonly<Record<string, string | number | null>>
  readonly volumes: readonly (string | { readonly source: string; readonly target: string })[]
  readonly ports?: readonly string[]
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>
  readonly healthcheck: { readonly test: readonly string[] }
}

export interface Compose {
  readonly services: Readonly<Record<string, Service>>
  readonly volumes?: Readonly<Record<string, unknown>>
}

/** A file of the checkout. */
export function textOf(name: string): string {
  return readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8')
}

/** The file as Compose reads it where no variable is set. */
export function compose(name: string): Compose {
  return parse(textOf(name).replaceAll(/\$\{\w+:-([^}]*)\}/g, '$1')) as Compose // the interfaces above say what the tests read of it
}

export function service(name: string, of: string): Service {
  const found = compose(name).services[of]
  if (found === undefined) throw new Error(`${name} has no service ${of}`)
  return found
}

/** server.properties as the image makes them of its environment: KAFKA_LOG_DIRS is log.dirs. What is the JVM's stays out. */
export function propertiesOf({ environment }: Service): Record<string, string> {
  const own = Object.entries(environment).filter(([name]) => name.startsWith('KAFKA_') && !name.endsWith('_OPTS'))
  return Object.fromEntries(own.map(([name, value]) => [name.slice('KAFKA_'.length).toLowerCase().replaceAll('_', '.'), String(value)]))
}
