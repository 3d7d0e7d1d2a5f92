import { HORIZON_MS, type TapInputConfig } from '../sources/proofpoint-tap/config.ts'
import { asksForWindows, rolesOf } from '../sources/proofpoint-tap/services.ts'
import { startAnew } from '../pipeline/beginning.ts'
import { systemClock } from '../pipeline/clock.ts'
import { ConfigurationError, describeError, type Problem } from '../pipeline/errors.ts'
import { InputsTakenError, ownInputsSoon } from '../pipeline/own-inputs.ts'
import { openBuffer } from './buffer.ts'
import { confirmed } from './confirmed.ts'
import { EXIT } from './exit.ts'
import { load, loggerFor, logWarnings, type ConfigOption } from './load.ts'
import { tellTrouble } from './tell.ts'

/** `reset`: moves services to another start and forgets what they have already seen. Refuses while a collector holds the state folder. */
export async function reset(
  options: ConfigOption & { readonly service: readonly string[]; readonly to: number; readonly yes?: true },
): Promise<number> {
  const { config, warnings } = await load(options, { checkCertificates: false })
  const log = loggerFor(config, 2)
  logWarnings(log, warnings)
  const targets = [
    ...new Map(resolve(options.service, config.inputs).map((target) => [`${target.input.id}/${target.service.name}`, target])).values(),
  ]
  const to = new Date(options.to).toISOString()
  if (options.to < Date.now() - HORIZON_MS) {
    throw new ConfigurationError([{ path: '--to', message: 'the API serves only the last 7 days', value: to }], { code: 'UsageError' })
  }
  const names = targets.map(({ input, service }) => `${input.name}/${service.name}`).join(', ')
  if (options.yes !== true && !(await confirmed(`Move ${names} to ${to}? Events from then on may be delivered again. [y/N] `))) {
    tellTrouble('Nothing was changed.', { code: 'NotConfirmed' })
    return EXIT.failure
  }
  // A state that is gone is begun anew as a whole: a service that is not named would begin in silence.
  const namesAll = targets.length === config.inputs.reduce((sum, { services }) => sum + services.filter(asksForWindows).length, 0)
  const buffer = await openBuffer(config, { clock: systemClock, log, lostState: namesAll ? 'leave' : 'refuse' }).catch((error: unknown) => {
    tellTrouble(`Nothing was changed: ${describeError(error)}`, { code: 'ResetFailed', err: error })
    return null
  })
  if (buffer === null) return EXIT.failure
  try {
    const ownership = await ownInputsSoon({ buffer, clock: systemClock, log, signal: new AbortController().signal })
    for (const { input, service } of targets) await startAnew(buffer, input.id, { ...service, ...rolesOf(service.name) }, options.to)
    await ownership.release()
  } catch (error) {
    if (!(error instanceof InputsTakenError)) throw error
    tellTrouble(`Nothing was changed: ${describeError(error)}`, { code: 'ResetFailed', err: error })
    return EXIT.failure
  } finally {
    await buffer.close()
  }
  // Only now: ended before, it is still told as lost.
  if (namesAll && config.buffer.type === 'kafka') await (await openBuffer(config, { clock: systemClock, log, lostState: 'accept' })).close()
  const waits = options.to > Date.now() ? ', which is in the future: until then nothing is fetched' : ''
  process.stdout.write(`${names}: the next run starts from ${to}${waits}\n`)
  return EXIT.ok
}

function resolve(names: readonly string[], inputs: readonly TapInputConfig[]) {
  const problems: Problem[] = []
  const targets = [...new Set(names)].flatMap((name) => {
    const found = inputs.flatMap((input) =>
      input.services
        .filter((service) => name === service.name || name === `${input.name}/${service.name}`)
        .map((service) => ({ input, service })),
    )
    const known = inputs.flatMap((input) => input.services.filter(asksForWindows).map((service) => `${input.name}/${service.name}`)).join(', ')
    const follows = found.some(({ service }) => !asksForWindows(service))
    if (follows) problems.push({ path: '--service', message: `it follows the events of the other services and has no start of its own; expected one of ${known}`, value: name })
    if (found.length === 0) problems.push({ path: '--service', message: `expected one of ${known}`, value: name })
    if (found.length > 1)
      problems.push({ path: '--service', message: `there are several inputs, so name one as input/service: ${known}`, value: name })
    return found
  })
  if (problems.length > 0) throw new ConfigurationError(problems, { code: 'UsageError' })
  return targets
}
