import { readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { describe, expect, it } from 'vitest'
import { defaultConfigPath, formatProblems, loadConfig } from '../../src/config/load.ts'
import { folderWith, MINIMAL, NOW, outcomeOf, outcomeOfText } from './setup.ts'

describe('the file', () => {
  it('may have Windows line ends and a byte order mark', async () => {
    const { loaded } = await outcomeOfText(`\uFEFF${MINIMAL.replaceAll('\n', '\r\n')}`)
    expect(loaded?.config.inputs[0]).toMatchObject({ id: '12345', username: 'u', password: 'p' })
  })

  it.each([
    ['in UTF-16', Buffer.from(`\uFEFF${MINIMAL}`, 'utf16le'), 'is written in UTF-16; save it as UTF-8'],
    ['in Latin-1', Buffer.from(`${MINIMAL}# Grüße`, 'latin1'), 'is not text in UTF-8; save it as UTF-8'],
    ['of 2 MiB', `${MINIMAL}#${' '.repeat(2 * 1024 * 1024)}`, 'is larger than 1 MiB; is this the right file?'],
  ])('%s is an error', async (_, content, message) => {
    const { problems } = await outcomeOfText(content)
    expect(problems.map((problem) => problem.message)).toEqual([message])
  })

  it('that is missing or a folder is an error', async () => {
    const root = await folderWith({ 'config/config.yaml': MINIMAL })
    const missing = await outcomeOf(join(root, 'config/other.yaml'))
    expect(formatProblems(missing.problems)).toBe(
      `error ${join(root, 'config/other.yaml')}: the configuration file does not exist; name it with --config, or with CONFIG_FILE below config/`,
    )
    expect((await outcomeOf(join(root, 'config'))).problems[0]?.message).toMatch(/^the configuration file is a folder;/)
  })

  it('gives the root: the folder that holds config/, or else its own', async () => {
    const root = await folderWith({ 'config/config.yaml': MINIMAL, 'elsewhere/tap.yaml': MINIMAL })
    expect((await outcomeOf(join(root, 'config/config.yaml'))).loaded?.config).toMatchObject({ root, stateDir: join(root, 'state') })
    expect((await outcomeOf(join(root, 'elsewhere/tap.yaml'))).loaded?.config.root).toBe(join(root, 'elsewhere'))
    expect((await outcomeOf(relative(process.cwd(), join(root, 'config/config.yaml')))).loaded?.config.root).toBe(root)
  })

  it('is by default config/$CONFIG_FILE, then config/config.yaml', () => {
    expect(defaultConfigPath('/here', {})).toBe('/here/config/config.yaml')
    expect(defaultConfigPath('/here', { CONFIG_FILE: '' })).toBe('/here/config/config.yaml')
    expect(defaultConfigPath('/here', { CONFIG_FILE: 'other.yaml' })).toBe('/here/config/other.yaml')
    expect(defaultConfigPath('/here', { CONFIG_FILE: '/etc/tap.yaml' })).toBe('/etc/tap.yaml')
  })

  it('takes the address of the status page from the image where it names none', async () => {
    const env = { TAP_COLLECTOR_HTTP_HOST: '0.0.0.0' }
    expect((await outcomeOfText(MINIMAL, { env })).loaded?.config.http).toMatchObject({ host: '0.0.0.0', isHostGiven: false })
    expect((await outcomeOfText(`${MINIMAL}globals: {http: {host: 127.0.0.9}}`, { env })).loaded?.config.http).toMatchObject({ host: '127.0.0.9', isHostGiven: true })
    expect((await outcomeOfText(MINIMAL)).loaded?.config.http.host).toBe('127.0.0.1')
  })

  it('rejects with ConfigurationError itself', async () => {
    await expect(loadConfig({ file: '/no/such/file.yaml', env: {}, now: NOW })).rejects.toMatchObject({ name: 'ConfigurationError' })
  })
})

describe('the example', () => {
  const example = readFileSync(join(import.meta.dirname, '../../config/config.example.yaml'), 'utf8')

  it('is found out by its placeholders alone', async () => {
    const { problems } = await outcomeOfText(example)
    expect(problems.map(({ path }) => path)).toEqual([
      'outputs.devo_1.config.address',
      'outputs.devo_1.config.cert',
      'outputs.devo_1.config.key',
      'inputs.proofpoint_tap.id',
      'inputs.proofpoint_tap.credentials.username',
      'inputs.proofpoint_tap.credentials.password',
    ])
    expect(problems.every(({ message }) => message.includes('placeholder'))).toBe(true)
  })

  it('is a good configuration once they are replaced, with and without what is commented out', async () => {
    const filled = example.replaceAll(/<([^<>]+)>/g, '$1')
    expect((await outcomeOfText(filled)).loaded?.warnings).toEqual([])
    const everything = filled.replaceAll(/^( *)# (?=[ a-z_0-9]+:|  +- |  +number)/gm, '$1').replaceAll(/^# .*$/gm, '')
    const { loaded, problems } = await outcomeOfText(everything, { env: { TAP_COLLECTOR_TOKEN: 'token', HEC_TOKEN: 'token' } })
    expect(formatProblems(problems)).toBe('')
    expect(loaded?.config).toMatchObject({
      http: { token: 'token' },
      outputs: expect.arrayContaining([expect.objectContaining({ services: ['clicksBlocked'] }), expect.objectContaining({ name: 'console_1' })]) as unknown,
      inputs: [{ environment: 'prod' }],
    })
  })
})
