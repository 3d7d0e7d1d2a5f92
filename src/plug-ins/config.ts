/** A sink or transform of the user's own, as the YAML names it. */
export interface PlugInConfig {
  /** A file (`./my-sink.mjs`) or the name of a package. */
  readonly specifier: string
  /** Where in the YAML it is named. */
  readonly namedAt: string
  /** Files and packages are looked for from here. */
  readonly root: string
  /** What stands in the YAML, with `${...}` put in; an empty object where nothing does. */
  readonly options: unknown
  /** Values of the options that may not stand in the log. */
  readonly secrets: readonly string[]
}

/** A file, and not the name of a package. */
export function isFile(specifier: string): boolean {
  return /^(?:\.{1,2})?[/\\]|\.[cm]?[jt]s$/.test(specifier)
}
