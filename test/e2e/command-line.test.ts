import { spawnSync } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { Collector } from './collector.ts'
import { makeWorld, MINUTE_MS, writeTime } from './world.ts'

const run = async (...args: string[]) => new Collector(args).end()

describe('the command line', () => {
  test('tells its version and its commands', async () => {
    expect(await run('--version')).toMatchObject({ code: 0, stdout: expect.stringMatching(/^\d+\.\d+\.\d+\S*\n$/) as string, stderr: '' })
    const { code, stdout, stderr } = await run('--help')
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    for (const verb of ['run', 'validate', 'status', 'reset', 'simulate', 'demo']) expect(stdout).toMatch(new RegExp(`^ +${verb} `, 'm'))
    expect(await run('run', '--help')).toMatchObject({ code: 0, stdout: expect.stringContaining('--once') as string })
  })

  test.each([
    [['runn'], /unknown command 'runn'[^]*run/],
    [['run', '--onec'], /unknown option '--onec'[^]*--once/],
    [['run', '--timeout', '3'], /--timeout.*--once/],
    [['run', '--once', '--timeout', 'soon'], /seconds/],
    [['run', 'now'], /too many arguments/],
    [['reset', '--service', 'clicksBlocked'], /--to/],
    [['reset', '--service', 'clicksBlocked', '--to', 'yesterday'], /2026-11-20T00:00:00Z/],
    [['reset', '--to', '2026-11-20T00:00:00Z'], /--service/],
    [['validate', '--config'], /--config/],
  ])('that cannot work is told and ends with 2: %j', async (args, message) => {
    const { code, stdout, stderr } = await run(...args)
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toMatch(message)
    expect(stderr).not.toMatch(/^ +at /m)
  })

  test('without a command shows what there is and ends with 2', async () => {
    const { code, stdout, stderr } = await run()
    expect(code).toBe(2)
    expect(stdout + stderr).toContain('validate')
  })

  test('on an older Node is one clear line and 2', async ({ skip }) => {
    const old = '/usr/bin/node'
    const version = spawnSync(old, ['-p', 'process.versions.node'], { encoding: 'utf8' }).stdout
    const [major = 99, minor = 0] = (version || '99').split('.').map(Number)
    if (major > 22 || (major === 22 && minor >= 19)) skip(`SKIPPED: ${old} is no Node older than 22.19`)
    const { code, stdout, stderr } = await new Collector(['run'], { node: old }).end()
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toMatch(/^NodeTooOld \[CODE:0100\] tap-collector needs Node 22\.19 or later.*\n$/)
    expect(stderr).toContain(version.trim())
  })
})

describe('the configuration', () => {
  test('that is missing names the place it was looked for and ends with 2', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'tap-e2e-'))
    onTestFinished(async () => rm(dir, { recursive: true }))
    for (const args of [['run'], ['validate'], ['status']]) {
      const { code, stderr } = await new Collector(args, { cwd: dir }).end()
      expect(code).toBe(2)
      expect(stderr).toContain(join('config', 'config.yaml'))
    }
    const named = await new Collector(['run'], { cwd: dir, env: { CONFIG_FILE: 'mine.yaml' } }).end()
    expect(named).toMatchObject({ code: 2, stderr: expect.stringContaining(join('config', 'mine.yaml')) as string })
  })

  test('is found below the working directory, by CONFIG_FILE or its usual name, with secrets from environment and file', async () => {
    const world = await makeWorld({
      configure: ({ inputs }) => {
        const input = inputs.proofpoint_tap
        if (input !== undefined) input.credentials = { username: '${TAP_PRINCIPAL}', password: `\${file:secret.txt}` }
      },
    })
    await writeFile(join(world.dir, 'secret.txt'), `${world.model.password}\n`)
    const env = { TAP_PRINCIPAL: world.model.username, CONFIG_FILE: 'e2e.yaml' }
    const ended = await new Collector(['run', '--once'], { cwd: world.dir, env }).end()
    expect(ended).toMatchObject({ code: 0 })
    expect(world.compare()).toMatchObject({ missing: [], surplus: [] })
  })

  test.each(['run', 'validate', 'status'])('with mistakes: %s lists all of them in one go with path, value and what is expected, never a secret', async (command) => {
    const world = await makeWorld({
      perHour: 0,
      configure: ({ globals, outputs, inputs }) => {
        const input = inputs.proofpoint_tap
        if (input === undefined) return
        globals.nmae = 'typo'
        Object.assign(outputs.devo_1?.config ?? {}, { cert: 'missing.crt', port: 99_999 })
        input.credentials = { username: '<username_value>', password: 'a-real-secret\u0007' }
        input.id = 123
        input.services = { clickBlocked: {}, clicksPermitted: { override_tag: 'UPPER.case', request_period_in_seconds: 0 } }
      },
    })
    const { code, stdout, stderr } = await world.run([command])
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    for (const path of [
      'globals.nmae', 'outputs.devo_1.config.port', 'inputs.proofpoint_tap.credentials.username', 'inputs.proofpoint_tap.credentials.password',
      'inputs.proofpoint_tap.id', 'inputs.proofpoint_tap.services.clickBlocked', 'services.clicksPermitted.override_tag', 'services.clicksPermitted.request_period_in_seconds',
    ]) expect(stderr).toContain(path)
    // A status must be had also while a certificate is missing.
    expect(stderr.includes('outputs.devo_1.config.cert')).toBe(command !== 'status')
    expect(stderr).toContain('did you mean name')
    expect(stderr).toContain('did you mean clicksBlocked')
    expect(stderr).toContain('99999')
    expect(stderr).not.toContain('a-real-secret')
    expect(stderr).not.toMatch(/^ +at /m)
    expect(world.model.log.entries).toEqual([])
    expect(world.receiver.connections.accepted).toBe(0)
  })

  test('with a start too far back is refused, unless the service has a state that began there', async () => {
    const world = await makeWorld({ perHour: 0 })
    const old = writeTime(Date.now() - 8 * 24 * 60 * MINUTE_MS)
    await world.configure(({ inputs }) => {
      Object.assign(inputs.proofpoint_tap?.services.clicksBlocked ?? {}, { start_time_in_utc_format: old })
    })
    for (const command of [['run'], ['run', '--once'], ['validate']]) {
      const { code, stderr } = await world.run(command)
      expect(code).toBe(2)
      expect(stderr).toContain('inputs.proofpoint_tap.services.clicksBlocked.start_time_in_utc_format')
      expect(stderr).toContain(old)
    }
  })

  test('of the old collector starts, with a warning for each key that means nothing here', async () => {
    const world = await makeWorld({
      configure: ({ globals }) => {
        Object.assign(globals, { multiprocessing: false, queue_max_size_in_messages: 1000 })
      },
    })
    const { code, stdout } = await world.run(['run', '--once'])
    expect(code).toBe(0)
    const warnings = stdout.split('\n').filter((line) => line.includes('"level":"warn"'))
    for (const key of ['globals.multiprocessing', 'globals.queue_max_size_in_messages']) expect(warnings.filter((line) => line.includes(key))).toHaveLength(1)
    expect(world.compare()).toMatchObject({ missing: [], surplus: [] })
  })
})
