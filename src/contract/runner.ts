/** What the suites need of a test runner: node:test, vitest and Jest have these functions. */
export interface Runner {
  readonly describe: (name: string, body: () => void) => unknown
  readonly test: (name: string, body: () => Promise<void>) => unknown
  readonly beforeEach: (work: () => Promise<void>) => unknown
  readonly afterEach: (work: () => Promise<void>) => unknown
}
