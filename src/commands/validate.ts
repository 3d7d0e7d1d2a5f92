import { checkStartTimes } from '../config/load.ts'
import type { CollectorConfig } from '../config/types.ts'
import { hasBegunAt } from '../pipeline/beginning.ts'
import type { BufferSnapshot } from '../pipeline/buffer.ts'
import { systemClock } from '../pipeline/clock.ts'
import { Conditions } from '../pipeline/conditions.ts'
import { Counters } from '../pipeline/counters.ts'
import type { CodeName } from '../pipeline/codes.ts'
import { codeOf, ConfigurationError, describeError, describeProblem, withCode, type Problem } from '../pipeline/errors.ts'
import type { QuotaLog } from '../pipeline/source.ts'
import { rolesOf } from '../sources/proofpoint-tap/services.ts'
import { createTapSources } from '../sources/proofpoint-tap/source.ts'
import { isToBeMoved, openQuotaLog, readBuffer } from './buffer.ts'
import { createOutput } from './components.ts'
import { EXIT } from './exit.ts'
import { loadPlugIns } from './plug-ins.ts'
import { load, loggerFor, scrubberFor, type ConfigOption } from './load.ts'

/** `validate`: everything that can be known before a start; with `--connect` also that both remote sides accept us. Writes no events. */
export async function validate(options: ConfigOption & { readonly connect?: true }): Promise<number> {
  const { config, warnings } = await load(options)
  await loadPlugIns(config, systemClock)
  warnings.forEach(showWarning)
  // At the brokers it is looked at only where it may be.
  const isInFolder = config.buffer.type === 'embedded' || isToBeMoved(config)
  const snapshot = isInFolder || options.connect === true ? await stateOf(config) : null
  const now = Date.now()
  const known = snapshot?.services ?? []
  const problems = checkStartTimes(
    config,
    (inputId, name, startTime) => hasBegunAt({ name, ...rolesOf(name) }, startTime, known.filter((state) => state.inputId === inputId).map((state) => ({ ...state, name: state.service }))),
    now,
  )
  if (problems.length > 0 && snapshot !== null) throw new ConfigurationError(problems)
  for (const { path, value } of problems) {
    const message = 'is more than 7 days back, and good only for a service that has begun there already: the brokers have that, and --connect asks them'
    showWarning({ path, message, ...(value !== undefined && { value }) })
  }
  const services = config.inputs.reduce((sum, input) => sum + input.services.length, 0)
  process.stdout.write(`ok       configuration: ${services} services, outputs ${config.outputs.map(({ name }) => name).join(', ')}\n`)
  const place = config.buffer.type === 'kafka' && !isInFolder ? `topic ${config.buffer.topicPrefix}.state` : config.stateDir
  if (isToBeMoved(config)) process.stdout.write('ok       buffer.db: moved to Kafka at the next start\n')
  if (snapshot === null && options.connect !== true) process.stdout.write('ok       state: at the brokers, looked at with --connect\n')
  if (snapshot !== null) process.stdout.write(`ok       state: ${snapshot.outputs.length === 0 ? `none yet in ${place}` : place}\n`)
  return options.connect === true ? connect(config) : EXIT.ok
}

function showWarning(warning: Problem): void {
  process.stdout.write(`warning  ${withCode(describeProblem(warning), { code: 'ConfigurationWarning' })}\n`)
}

/** A state that cannot be read must be known before the start; null where brokers do not answer, which `connect` tells. */
async function stateOf(config: CollectorConfig): Promise<BufferSnapshot | null> {
  try {
    return await readBuffer(config, loggerFor(config, 2))
  } catch (error) {
    if (config.buffer.type === 'kafka' && !isToBeMoved(config)) return null
    throw new ConfigurationError([{ path: 'globals.persistence.config.directory_name', message: describeError(error) }], { code: codeOf(error) ?? 'StateUnreadable' })
  }
}

async function connect(config: CollectorConfig): Promise<number> {
  const log = loggerFor(config, 2)
  const signal = AbortSignal.timeout(60_000)
  const results: boolean[] = []
  // What a plug-in throws may name what it was given.
  const scrubber = scrubberFor(config)
  const tryOne: TryOne = async (what, code, attempt) => {
    try {
      await attempt()
      process.stdout.write(`ok       ${what}\n`)
      results.push(true)
    } catch (error) {
      process.stdout.write(`failed   ${what}: ${scrubber.scrub(withCode(describeError(error), { code, err: error }))}\n`)
      results.push(false)
    }
  }

  for (const output of config.outputs) {
    const { sink } = await createOutput(output, config, { clock: systemClock, log })
    await tryOne(`output ${output.name} (${output.type === 'plug_in' ? output.config.specifier : output.type})`, 'OutputUnreachable', () => sink.check(signal))
    await sink.close()
  }
  await tryOne(`buffer ${config.buffer.type}`, 'BufferUnavailable', async () => {
    const quotaLog = await openQuotaLog(config, log)
    try {
      await checkInputs(config, quotaLog, tryOne, signal)
    } finally {
      await quotaLog.close()
    }
  })
  return results.every(Boolean) ? EXIT.ok : EXIT.unreachable
}

/** `code` is told where the error has none of its own. */
type TryOne = (what: string, code: CodeName, attempt: () => Promise<unknown>) => Promise<void>

async function checkInputs(
  config: CollectorConfig,
  quotaLog: QuotaLog,
  tryOne: TryOne,
  signal: AbortSignal,
): Promise<void> {
  const deps = {
    clock: systemClock,
    log: loggerFor(config, 2),
    quotaLog,
    conditions: new Conditions(() => systemClock.now()),
    counters: new Counters(),
  }
  for (const source of await createTapSources(config.inputs, deps)) {
    await tryOne(`input ${source.name}`, 'ApiUnreachable', () => source.check(signal))
    await source.close()
  }
}
