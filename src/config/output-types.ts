import type { Logger } from 'pino'
import type { Clock } from '../pipeline/clock.ts'
import type { Batch } from '../pipeline/event.ts'
import type { Sink } from '../pipeline/sink.ts'
import { createPlugInSink } from '../plug-ins/sink.ts'
import { createConsoleSink } from '../sinks/console/sink.ts'
import { createDevoSink } from '../sinks/devo/sink.ts'
import { createFileSink } from '../sinks/file/sink.ts'
import type { HttpConfig } from '../sinks/http/config.ts'
import { secretsOf } from '../sinks/http/secrets.ts'
import { createHttpSink } from '../sinks/http/sink.ts'
import type { Connect } from '../sinks/proof/connection.ts'
import { createRelaySink } from '../sinks/relay/sink.ts'
import { secretsOf as secretsOfS3 } from '../sinks/s3/config.ts'
import { createSyslogSink } from '../sinks/syslog/sink.ts'
import type { Context } from './component.ts'
import { readConsole } from './console.ts'
import { readDevo } from './devo.ts'
import { readFileOutput } from './file-output.ts'
import { readHttp } from './http.ts'
import { readKafkaOutput } from './kafka-output.ts'
import type { Node } from './node.ts'
import { readPlugIn, type Named } from './plug-in.ts'
import { readRelay } from './relay.ts'
import { readS3 } from './s3.ts'
import { readSyslog } from './syslog.ts'

/** What a sink is given beside its configuration; it takes what it needs. */
export interface SinkContext {
  /** The output's name in the YAML. */
  readonly name: string
  readonly clock: Clock
  readonly log: Logger
  readonly hostName: string
  /** Where a service's events go in Devo. */
  readonly tagOf: (inputId: string, service: string) => string
  /** The seam of what else goes to Devo, see `takesOwnLog`: a batch as whole lines. Default: events, with what is added to them. */
  readonly encode?: (batch: Batch) => Uint8Array
  /** The seam of outputs to Devo: default TLS. */
  readonly connect?: Connect
}

export interface OutputType<C> {
  /** Reads the output's `config`, whose type was given as `type`; what is wrong goes to the context's report, and the value returned then is never used. */
  read(node: Node | undefined, path: string, context: Context, type: Named): C
  /**
   * Makes the sink, without any I/O of which it owes the outcome: what can fail is `check`'s and `ship`'s. One whose code is large is imported
   * here, so that only its users load it.
   */
  create(config: C, context: SinkContext): Sink | Promise<Sink>
  /** What of the configuration may never stand in the log. */
  secrets?(config: C): readonly string[]
  /** The PEM file that begins with our client certificate; null: none is shown. */
  clientCertificate?(config: C): string | null
  /** It leads to Devo, so that the log of the collector itself may go there too. */
  readonly takesOwnLog?: boolean
}

const outputType = <C>(type: OutputType<C>): OutputType<C> => type

/** The types of outputs that are built in, by their names in the YAML: a new one is a row here. */
const TABLE = {
  devo_platform: outputType({ read: readDevo, create: createDevoSink, clientCertificate: ({ cert }) => cert, takesOwnLog: true }),
  relay: outputType({ read: readRelay, create: createRelaySink, takesOwnLog: true }),
  syslog: outputType({ read: readSyslog, create: createSyslogSink, clientCertificate: ({ tls }) => tls?.cert ?? null }),
  console: outputType({ read: readConsole, create: createConsoleSink }),
  file: outputType({ read: readFileOutput, create: createFileSink }),
  kafka: outputType({
    read: readKafkaOutput,
    create: async (config, context) => (await import('../sinks/kafka/sink.ts')).createKafkaSink(config, context),
    secrets: ({ sasl }) => (sasl === null ? [] : [sasl.password]),
    clientCertificate: ({ ssl }) => (ssl === false ? null : ssl.cert),
  }),
  http: outputType({ read: readHttp, create: createHttpSink, secrets: secretsOf, clientCertificate: ({ cert }: HttpConfig) => cert }),
  s3: outputType({
    read: readS3,
    create: async (config, context) => (await import('../sinks/s3/sink.ts')).createS3Sink(config, context),
    secrets: secretsOfS3,
    clientCertificate: ({ cert }) => cert,
  }),
  // What has any other name.
  plug_in: outputType({ read: readPlugIn, create: createPlugInSink, secrets: ({ secrets }) => secrets }),
}

/** The configuration of each type, by its name. */
export type OutputConfigs = { readonly [K in keyof typeof TABLE]: ReturnType<(typeof TABLE)[K]['read']> }
export type OutputTypeName = keyof OutputConfigs

export const OUTPUT_TYPES: { readonly [K in OutputTypeName]: OutputType<OutputConfigs[K]> } = TABLE

/** Those that the YAML knows by name. */
export const BUILT_IN_OUTPUTS: readonly string[] = Object.keys(TABLE).filter((name) => name !== 'plug_in')

export function isBuiltInOutput(name: string): name is OutputTypeName {
  return BUILT_IN_OUTPUTS.includes(name)
}
