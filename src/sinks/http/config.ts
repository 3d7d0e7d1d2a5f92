export type HttpFormat = 'ndjson' | 'json_array' | 'splunk_hec' | 'elastic_bulk'

/** `config` of an output of type `http`, checked and with its defaults. Paths are absolute. */
export interface HttpConfig {
  /** http or https, without user and password. */
  readonly url: string
  readonly format: HttpFormat
  /** The user's own; they may hold secrets. */
  readonly headers: Readonly<Record<string, string>>
  /** The value of the header of that name, such as `Bearer TOKEN`; null: none is sent. */
  readonly authorization: string | null
  /** PEM files; null where the system's authorities and no client certificate do. */
  readonly ca: string | null
  readonly cert: string | null
  readonly key: string | null
  readonly gzip: boolean
  /** Uncompressed. An event that is larger goes alone. */
  readonly maxRequestBytes: number
  /** For one request from its connection to the end of the answer. */
  readonly timeoutMs: number
  /** Where events go, as a template (template.ts); null: what the format goes by without it. */
  readonly index: string | null
  /** What stands beside each event; only of `splunk_hec`. */
  readonly splunk: SplunkConfig
}

export interface SplunkConfig {
  /** Null: the name of this machine. */
  readonly host: string | null
  /** Templates (template.ts). */
  readonly source: string
  readonly sourcetype: string
  readonly fields: Readonly<Record<string, string>>
  /** How long the acknowledgement of a shipment may take; null: none is asked for. */
  readonly acknowledgeTimeoutMs: number | null
}
