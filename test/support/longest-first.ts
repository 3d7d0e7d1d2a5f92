import { relative } from 'node:path'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** Whose files take half a minute and more, each. */
const LONG = ['test/chaos/', 'test/e2e/', 'test/kafka/', 'test/integration/', 'test/buffers/move/']
/** Whose files take ten seconds and more. */
const MIDDLING = ['test/buffers/', 'test/sources/', 'test/sinks/', 'test/page/', 'test/packaging/', 'test/fuzz/', 'test/soak/', 'test/commands/', 'test/security/']

/**
 * The folders whose files take long come first, so that no core is without work at the end of a run. vitest knows durations by itself, but from the runs before,
 * of which a fresh checkout has none: it then begins with the files of the most text.
 */
export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    return (await super.sort(files)).sort((a, b) => this.#rank(a) - this.#rank(b))
  }

  #rank({ moduleId }: TestSpecification): number {
    const path = relative(this.ctx.config.root, moduleId)
    const isBelow = (folder: string): boolean => path.startsWith(folder)
    if (LONG.some(isBelow)) return 0
    return MIDDLING.some(isBelow) ? 1 : 2
  }
}
