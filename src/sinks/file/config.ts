/** `config` of an output of type `file`, checked and with its defaults. */
export interface FileConfig {
  /** Absolute; with `%Y`, `%m`, `%d` and `%H` of the pull, in UTC, and `%%` for a percent sign. */
  readonly path: string
  /** Null: a file grows as long as its path stays. */
  readonly rotateBytes: number | null
  readonly gzip: boolean
}
