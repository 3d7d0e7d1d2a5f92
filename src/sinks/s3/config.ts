/** `config` of an output of type `s3`, checked and with its defaults. Paths are absolute. */
export interface S3Config {
  readonly bucket: string
  /** What keys begin with: nothing, or a text that ends with a slash. */
  readonly prefix: string
  readonly region: string
  /** Null: Amazon's own. http or https, without user and password. */
  readonly endpoint: string | null
  /** Null: whatever the AWS chain finds (environment, shared files, web identity, container, instance). */
  readonly credentials: S3Credentials | null
  readonly gzip: boolean
  /** PEM files; null where the system's authorities and no client certificate do. */
  readonly ca: string | null
  readonly cert: string | null
  readonly key: string | null
  /** For one request from its connection to the end of the answer. */
  readonly timeoutMs: number
}

export interface S3Credentials {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken: string | null
}

/** What of the configuration may never stand in a log or an error. */
export function secretsOf({ credentials }: S3Config): readonly string[] {
  if (credentials === null) return []
  return [credentials.secretAccessKey, ...(credentials.sessionToken === null ? [] : [credentials.sessionToken])]
}
