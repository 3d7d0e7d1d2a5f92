import { BUFFER, EMBEDDED } from '../../src/config/buffer.ts'
import { CONSOLE } from '../../src/config/console.ts'
import { DEVO } from '../../src/config/devo.ts'
import { FILE as FILE_OUTPUT } from '../../src/config/file-output.ts'
import { CONDITION, FILTER } from '../../src/config/filter.ts'
import { DIRECTORY, GLOBALS, httpComponent, PERSISTENCE } from '../../src/config/globals.ts'
import { CREDENTIALS as HTTP_CREDENTIALS } from '../../src/config/http-credentials.ts'
import { HTTP } from '../../src/config/http.ts'
import { CREDENTIALS, INPUT, TLS as INPUT_TLS, TYPES } from '../../src/config/inputs.ts'
import { KAFKA as KAFKA_BUFFER, SASL } from '../../src/config/kafka-buffer.ts'
import { KAFKA as KAFKA_OUTPUT } from '../../src/config/kafka-output.ts'
import { LIMIT } from '../../src/config/limits.ts'
import { FILE } from '../../src/config/load.ts'
import type { OutputTypeName } from '../../src/config/output-types.ts'
import { NOT_HERE as OUTPUTS_NOT_HERE, OUTPUT, RENAMED } from '../../src/config/outputs.ts'
import { REDACT } from '../../src/config/redact.ts'
import { RELAY } from '../../src/config/relay.ts'
import { CREDENTIALS as S3_CREDENTIALS, S3 } from '../../src/config/s3.ts'
import { NOT_HERE as SERVICES_NOT_HERE, SERVICE, SERVICE_NAMES } from '../../src/config/services.ts'
import { SYSLOG, TLS as SYSLOG_TLS } from '../../src/config/syslog.ts'
import { TLS_FILES } from '../../src/config/tls-files.ts'
import type { TransformTypeName } from '../../src/config/transform-types.ts'
import type { TapServiceName } from '../../src/sources/proofpoint-tap/config.ts'
import { schemaOf, unlessOff, where, type Schema } from './component.ts'

const ANYTHING: Schema = {}
const SCALAR: Schema = { type: ['string', 'number', 'boolean'] }
const TEXTS: Schema = { type: ['object', 'null'], additionalProperties: SCALAR }
const NO_TLS: Schema = { description: 'A relay is plain TCP: with TLS it is an output of type devo_platform.', type: 'null' }
const SERVICE_TEXTS: Readonly<Record<TapServiceName, string>> = {
  clicksBlocked: 'Clicks that Proofpoint has blocked.',
  clicksPermitted: 'Clicks on threats that were let through.',
  messagesBlocked: 'Messages with threats that were blocked.',
  messagesDelivered: 'Messages with threats that were delivered.',
  issues: 'Permitted clicks and delivered messages in one request; not beside clicksPermitted or messagesDelivered.',
  threats: 'What the API says of each threat that the events of the other services name.',
}
const OLD_NAME: Schema = { description: 'A service of the old collector that does not run here.', deprecated: true }

const tls = { schema: said('The files of TLS, names in certs/; HTTPS_PROXY and NO_PROXY count as well.', schemaOf(TLS_FILES)) }
const brokers = { schema: { description: 'host:port of one broker or more.', anyOf: [SCALAR, { type: 'array', items: SCALAR, minItems: 1 }] }, required: true }
const ssl = { schema: { description: 'TLS to the brokers: true, or its files in certs/ (ca, cert, key). Left out: none.', anyOf: [{ type: ['boolean', 'string'] }, schemaOf(TLS_FILES)] } }
const sasl = { schema: said('The login at the brokers. Left out: none.', orLeftOut(schemaOf(SASL))) }

/** What stands in `config` of an output, by its type. */
const OUTPUTS: Readonly<Record<Exclude<OutputTypeName, 'plug_in'>, Schema>> = {
  devo_platform: schemaOf(DEVO),
  relay: schemaOf(RELAY, { chain: { schema: NO_TLS }, cert: { schema: NO_TLS }, key: { schema: NO_TLS } }),
  syslog: schemaOf(SYSLOG, { tls: { schema: said('With protocol: tls, whom to trust and who we are.', schemaOf(SYSLOG_TLS)) } }),
  console: schemaOf(CONSOLE),
  file: schemaOf(FILE_OUTPUT),
  kafka: schemaOf(KAFKA_OUTPUT, { brokers, ssl, sasl }),
  http: schemaOf(HTTP, {
    headers: { schema: said('Further headers of each request, name: value; they are in no log.', TEXTS) },
    credentials: { schema: said('The login: username and password, or a token. Left out: none.', schemaOf(HTTP_CREDENTIALS)) },
    tls,
    fields: { schema: said('With splunk_hec: further indexed fields, name: value.', TEXTS) },
  }),
  s3: schemaOf(S3, { credentials: { schema: said('An access key. Left out: what the AWS chain finds (environment, ~/.aws, the role of the machine).', orLeftOut(schemaOf(S3_CREDENTIALS))) }, tls }),
}

const condition = schemaOf(CONDITION, {
  equals: { schema: { description: 'The field has this value; a number by its value, so that 5 fits 5.0 and "5".', type: ['string', 'number', 'boolean', 'null'] } },
  in: { schema: { description: 'The field has one of these values.', type: ['array', 'null'], items: SCALAR, minItems: 1 } },
})
const conditions = (description: string) => ({ schema: { description, anyOf: [{ ...condition, type: 'object' }, { type: 'array', items: { ...condition, type: 'object' }, minItems: 1 }, { type: 'null' }] } })

const TRANSFORMS: Readonly<Record<Exclude<TransformTypeName, 'plug_in'>, Schema>> = {
  filter: { description: 'Lets events through, or not, by their fields.', ...schemaOf(FILTER, { keep: conditions('Only events that fit one of these conditions go on.'), drop: conditions('Events that fit one of these conditions go no further.') }), type: 'object', minProperties: 1 },
  redact: { description: 'Removes, masks or hashes fields.', ...schemaOf(REDACT, { fields: { schema: { description: 'JSON pointers of what is removed, masked or hashed, such as /recipient or /messageParts/*/filename.', type: 'array', items: SCALAR, minItems: 1 }, required: true } }), type: 'object' },
}

const transforms: Schema = {
  description: 'Applied in this order to what this output gets.',
  type: ['array', 'null'],
  items: {
    anyOf: [
      { type: 'object', properties: TRANSFORMS, minProperties: 1, maxProperties: 1 },
      { description: 'A file of your own without options.', type: 'string', minLength: 1 },
    ],
  },
}

/** `type` is a built-in one, a plug-in's, or read from elsewhere; names of the old collector that are called otherwise here are none of them. */
function outputs(): Schema {
  const types = Object.keys(OUTPUTS)
  const renamed = { description: 'What the old collector calls console and relay.', deprecated: true, enum: Object.keys(RENAMED) }
  const own = { description: 'A file of your own, such as ./my-sink.mjs, or an npm package.', ...SCALAR, not: { enum: [...Object.keys(RENAMED), ...OUTPUTS_NOT_HERE] } }
  const entry = schemaOf(OUTPUT, {
    config: { schema: said('What the output needs, by its type.', ANYTHING) },
    services: { schema: { description: 'Only these services; left out: all.', type: ['array', 'null'], items: SCALAR, minItems: 1 } },
    transforms: { schema: transforms },
  })
  const { properties, allOf } = entry
  const typed = Object.entries(OUTPUTS).map(([type, config]) => {
    const isOptional = config.allOf === undefined
    const names = [type, ...Object.keys(RENAMED).filter((old) => RENAMED[old] === type)]
    return where('type', names, { properties: { config }, ...(!isOptional && { required: ['config'] }) })
  })
  // Both came from schemaOf.
  return named(unlessOff({ ...entry, properties: { ...(properties as Schema), type: { description: 'The kind of output.', anyOf: [{ enum: types }, own, renamed] } }, allOf: [...((allOf as Schema[] | undefined) ?? []), ...typed] }))
}

function inputs(): Schema {
  const service = schemaOf(SERVICE)
  const services = {
    type: 'object',
    minProperties: 1,
    properties: { ...Object.fromEntries(SERVICE_NAMES.map((name) => [name, said(SERVICE_TEXTS[name], service)])), ...Object.fromEntries(SERVICES_NOT_HERE.map((name) => [name, OLD_NAME])) },
    additionalProperties: false,
  }
  const entry = schemaOf(INPUT, {
    credentials: { schema: said('The service principal of the TAP API and its secret, better as "${NAME}" or "${file:PATH}".', schemaOf(CREDENTIALS)), required: true },
    requests_limits: { schema: { description: 'How many requests the credential may send to each of the two pools of the API. Left out: 1800 in 1d, which is their own limit.', type: ['array', 'null'], items: schemaOf(LIMIT) } },
    services: { schema: said('What is read, at least one; a service that is left out does not run.', services), required: true },
    tls: { schema: said('For base_url, where a proxy opens TLS.', schemaOf(INPUT_TLS)) },
  })
  // It came from schemaOf.
  return named(unlessOff({ ...entry, properties: { ...(entry.properties as Schema), type: { description: 'The kind of input; default: its own name.', anyOf: [{ enum: TYPES }, { type: 'null' }, { type: 'string', pattern: '\\$\\{' }] } } }))
}

function buffer(): Schema {
  const { allOf, ...common } = schemaOf(BUFFER, { config: { schema: said('What the buffer needs, by its type.', ANYTHING) } })
  if (allOf !== undefined) throw new Error('the buffer has a key that is required, which is lost here')
  const kafka = schemaOf(KAFKA_BUFFER, { brokers, ssl, sasl })
  return { ...common, allOf: [where('type', 'kafka', { properties: { config: kafka }, required: ['config'] }), where('type', 'embedded', { properties: { config: schemaOf(EMBEDDED) } }, true)] }
}

/** The whole file. */
export function configSchema(): Schema {
  const persistence = schemaOf(PERSISTENCE, { config: { schema: said('The folder.', ANYTHING) } })
  const directory = where('type', 'filesystem', { properties: { config: schemaOf(DIRECTORY) } }, true)
  const parts = {
    persistence: { schema: said('Where buffer and state are kept.', { ...persistence, ...directory }) },
    http: { schema: said('Status page, /healthz, /readyz and /metrics.', schemaOf(httpComponent('127.0.0.1'))) },
  }
  const file = schemaOf(FILE, {
    globals: { schema: said('What concerns the collector as a whole.', schemaOf(GLOBALS, parts)) },
    outputs: { schema: said('Where events go, each under a name of your own; every output gets every event, at its own pace.', outputs()), required: true },
    buffer: { schema: said('Where events wait until they are delivered. Left out: embedded, in the state folder.', buffer()) },
    inputs: { schema: said('What is read, each under a name of your own.', inputs()), required: true },
  })
  return { $schema: 'http://json-schema.org/draft-07/schema#', title: 'The configuration of devo-proofpoint-tap-collector', ...file, type: 'object' }
}

/** Entries with a name of the user's own each. */
function named(entry: Schema): Schema {
  return { type: 'object', minProperties: 1, additionalProperties: { ...entry, type: 'object' } }
}

/** With what an editor says of it. */
function said(description: string, schema: Schema): Schema {
  return { description, ...schema }
}

/** A mapping with required keys that as a whole may be left out. */
function orLeftOut(mapping: Schema): Schema {
  return { anyOf: [{ type: 'null' }, { ...mapping, type: 'object' }] }
}
