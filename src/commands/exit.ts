/** Exit codes, as the user's scripts know them. */
export const EXIT = {
  ok: 0,
  /** Runtime failure. */
  failure: 1,
  /** Bad configuration or command line. */
  usage: 2,
  /** validate and status: something could not be reached. */
  unreachable: 3,
} as const
