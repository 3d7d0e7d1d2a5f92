import type { CollectorConfig } from '../config/types.ts'
import type { Clock } from '../pipeline/clock.ts'
import { ConfigurationError, type Problem } from '../pipeline/errors.ts'
import type { PlugInConfig } from '../plug-ins/config.ts'
import { loadFactory } from '../plug-ins/load.ts'

/** Loads the code of all plug-ins, so that what is wrong with it is known at once. Throws ConfigurationError with all problems. */
export async function loadPlugIns({ outputs }: CollectorConfig, clock: Clock): Promise<void> {
  const problems: Problem[] = []
  const load = async (plugIn: PlugInConfig, name: 'createSink' | 'createTransform'): Promise<void> => {
    try {
      await loadFactory(plugIn, name, clock)
    } catch (error) {
      if (!(error instanceof ConfigurationError)) throw error
      problems.push(...error.problems)
    }
  }
  for (const output of outputs) {
    if (output.type === 'plug_in') await load(output.config, 'createSink')
    for (const transform of output.transforms) if (transform.type === 'plug_in') await load(transform.config, 'createTransform')
  }
  if (problems.length > 0) throw new ConfigurationError(problems, { code: 'PlugInUnusable' })
}
