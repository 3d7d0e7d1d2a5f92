import { startSimulator } from '../simulator/simulator.ts'
import { EXIT } from './exit.ts'
import { onSignals } from './signals.ts'

/** `simulate`: a TAP API and a Devo receiver with certificates and a ready configuration, until Ctrl-C. */
export async function simulate(options: { readonly dir?: string }): Promise<number> {
  const stopped = Promise.withResolvers<undefined>()
  const signals = onSignals(() => stopped.resolve(undefined))
  try {
    const simulator = await startSimulator({ dir: options.dir ?? 'simulator', control: true })
    try {
      process.stdout.write(
        `${simulator.describe().join('\n')}\nCtrl-C ends it. Started again in the same folder it keeps its ports and certificates.\n`,
      )
      await stopped.promise
    } finally {
      await simulator.stop()
    }
    return EXIT.ok
  } finally {
    signals.dispose()
  }
}
