import { createPrivateKey, generateKeyPairSync } from 'node:crypto'
import { symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { formatProblems, loadConfig } from '../../src/config/load.ts'
import { makeAuthority, type Authority, type Issued } from '../../src/simulator/certificates.ts'
import { folderWith, MINIMAL, outcomeOf, outcomeOfText } from './setup.ts'

let root: Authority
let expiredRoot: Authority
let good: Issued
let other: Issued
let expired: Issued
let future: Issued
let soon: Issued

beforeAll(async () => {
  root = await makeAuthority({ commonName: 'root' })
  expiredRoot = await makeAuthority({ commonName: 'old root', validity: 'expired' })
  const issue = (validity: 'valid' | 'expired' | 'not yet valid' | { expiresInDays: number }) =>
    root.issue({ commonName: 'me', client: true, validity })
  good = await issue('valid')
  other = await issue('valid')
  expired = await issue('expired')
  future = await issue('not yet valid')
  soon = await issue({ expiresInDays: 12.5 })
})

interface Files {
  readonly chain?: string
  readonly cert?: string
  readonly key?: string
}

/** What is said of these three files, with the folder's name taken out. A file that is not given is not made. */
async function said(
  { chain, cert, key }: Files,
  config = 'chain: chain.crt, cert: me.crt, key: me.key',
  extra: Readonly<Record<string, string>> = {},
  checkCertificates = true,
) {
  const folder = await folderWith({
    'config/config.yaml': `
outputs:
  devo_1: {type: devo_platform, config: {address: localhost, ${config}}}
inputs:
  proofpoint_tap: {id: 12345, credentials: {username: u, password: p}, services: {clicksBlocked: {}}}
`,
    'certs/.keep': '',
    ...(chain !== undefined && { 'certs/chain.crt': chain }),
    ...(cert !== undefined && { 'certs/me.crt': cert }),
    ...(key !== undefined && { 'certs/me.key': key }),
    ...extra,
  })
  const { loaded, problems } = await outcomeOf(join(folder, 'config/config.yaml'), {
    now: Date.now(),
    checkCertificates,
    env: { CERT: 'nowhere.crt' },
  })
  const text = loaded === null ? formatProblems(problems) : formatProblems(loaded.warnings, 'warning')
  return {
    lines: text === '' ? [] : text.replaceAll(folder, 'ROOT').replaceAll('outputs.devo_1.config.', '').split('\n'),
    config: loaded?.config,
    folder,
  }
}

const rightFiles = () => ({ chain: root.certPem, cert: good.certPem, key: good.keyPem })

describe('the certificates of a Devo output', () => {
  it('that fit are silent', async () => {
    expect((await said(rightFiles())).lines).toEqual([])
  })

  it('are looked at unless that is not wanted', async () => {
    const { folder } = await said({}, undefined, {}, false)
    await expect(loadConfig({ file: join(folder, 'config/config.yaml'), env: {}, now: Date.now() })).rejects.toThrow(
      'chain.crt does not exist',
    )
  })

  it('are not opened where that is not wanted', async () => {
    expect((await said({}, undefined, {}, false)).lines).toEqual([])
  })

  it('that are missing are one error each, with what else is there', async () => {
    expect((await said({}, undefined, { 'certs/my.key': '' })).lines).toEqual([
      'error chain: ROOT/certs/chain.crt does not exist',
      'error cert: ROOT/certs/me.crt does not exist',
      'error key: ROOT/certs/me.key does not exist; there is my.key in that folder',
    ])
  })

  it('whose name came from the environment are not named', async () => {
    expect((await said(rightFiles(), 'chain: chain.crt, cert: "${CERT}", key: me.key')).lines).toEqual([
      'error cert: the file that it names does not exist',
    ])
  })

  it('that are a folder, too large, or no PEM', async () => {
    const { lines } = await said({ cert: Buffer.from(good.certPem).toString('base64'), key: 'x'.repeat(1024 * 1024 + 1) }, undefined, {
      'certs/chain.crt/x': '',
    })
    expect(lines).toEqual([
      'error chain: ROOT/certs/chain.crt is a folder',
      'error cert: ROOT/certs/me.crt is no certificate in PEM format (a text that begins with -----BEGIN CERTIFICATE-----)',
      'error key: ROOT/certs/me.key is larger than 1 MiB and so no certificate',
    ])
  })

  it('that are cut short', async () => {
    const cut = (pem: string) => pem.replace(/(?<=-----\n)[^-]{200}/, '')
    expect((await said({ chain: cut(root.certPem), cert: cut(good.certPem), key: cut(good.keyPem) })).lines).toEqual([
      'error chain: ROOT/certs/chain.crt holds a certificate that cannot be read; it is damaged or cut short',
      'error cert: ROOT/certs/me.crt holds a certificate that cannot be read; it is damaged or cut short',
      'error key: ROOT/certs/me.key holds a private key that cannot be read; it is damaged or cut short',
    ])
  })

  it('that are swapped', async () => {
    expect((await said({ chain: root.certPem, cert: good.keyPem, key: good.certPem })).lines).toEqual([
      'error cert: ROOT/certs/me.crt holds a private key and no certificate; are cert and key swapped?',
      'error key: ROOT/certs/me.key holds a certificate and no private key; are cert and key swapped?',
    ])
    expect((await said({ ...rightFiles(), chain: good.certPem })).lines).toEqual([
      'error chain: ROOT/certs/chain.crt holds no certificate of an authority (CA) but one of me; it must be the chain',
    ])
  })

  it('whose key is of another certificate', async () => {
    expect((await said({ ...rightFiles(), key: other.keyPem })).lines).toEqual([
      'error key: ROOT/certs/me.key does not match the certificate ROOT/certs/me.crt; both must come from the same download',
    ])
  })

  it('whose file does not begin with the own certificate', async () => {
    expect((await said({ ...rightFiles(), cert: root.certPem + good.certPem })).lines).toEqual([
      'error cert: ROOT/certs/me.crt does not begin with the certificate of the key; put your own certificate first and those of authorities behind it',
    ])
    expect((await said({ ...rightFiles(), cert: good.certPem + root.certPem })).lines).toEqual([])
  })

  it('may be of elliptic curves, or both in one file', async () => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const lines = (await said({ ...rightFiles(), key: privateKey.export({ type: 'sec1', format: 'pem' }).toString() })).lines
    expect(lines).toEqual([expect.stringContaining('does not match')])
    const both = good.keyPem + good.certPem
    expect((await said({ chain: root.certPem, cert: both, key: both })).lines).toEqual([])
    const traditional = createPrivateKey(good.keyPem).export({ type: 'pkcs1', format: 'pem' }).toString()
    expect((await said({ ...rightFiles(), key: traditional })).lines).toEqual([])
  })

  it('whose key is encrypted, in both formats', async () => {
    const key = createPrivateKey(good.keyPem)
    const encrypted = [
      key.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'hunter2' }),
      key.export({ type: 'pkcs1', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'hunter2' }),
    ]
    for (const pem of encrypted) {
      expect((await said({ ...rightFiles(), key: pem.toString() })).lines).toEqual([
        'error key: ROOT/certs/me.key is encrypted; take the passphrase off with: openssl pkey -in encrypted.key -out plain.key',
      ])
    }
  })

  it('that have expired or are not valid yet', async () => {
    expect((await said({ chain: root.certPem, cert: expired.certPem, key: expired.keyPem })).lines).toEqual([
      expect.stringMatching(/^error cert: ROOT\/certs\/me.crt: the certificate has expired on \d{4}-\d\d-\d\d; get a new one$/),
    ])
    expect((await said({ chain: root.certPem, cert: future.certPem, key: future.keyPem })).lines).toEqual([
      expect.stringMatching(/^error cert: .* is not valid before \d{4}-\d\d-\d\d; is the clock of this machine right\?$/),
    ])
    expect((await said({ ...rightFiles(), chain: expiredRoot.certPem })).lines).toEqual([
      expect.stringMatching(/^error chain: .*: the certificate of the authority old root has expired on /),
    ])
  })

  it('that expire within 30 days are a warning with the days', async () => {
    const { lines, config } = await said({ chain: root.certPem, cert: soon.certPem, key: soon.keyPem })
    expect(lines).toEqual([
      expect.stringMatching(
        /^warning cert: ROOT\/certs\/me.crt: the certificate expires in 12 days \(\d{4}-\d\d-\d\d\); replace the files before then$/,
      ),
    ])
    expect(config).toBeDefined()
  })

  it('an old authority beside a valid one is a warning only', async () => {
    expect((await said({ ...rightFiles(), chain: expiredRoot.certPem + root.certPem })).lines).toEqual([
      expect.stringMatching(/^warning chain: .*old root has expired/),
    ])
  })

  it('may have an absolute path, a folder in certs/, or one from the root', async () => {
    const outside = await folderWith({ 'x.key': good.keyPem })
    const { lines, config, folder } = await said(
      { chain: root.certPem },
      `chain: certs/chain.crt, cert: sub/me.crt, key: ${join(outside, 'x.key')}`,
      { 'certs/sub/me.crt': good.certPem },
    )
    expect(lines).toEqual([])
    expect(config?.outputs[0]?.config).toMatchObject({
      chain: join(folder, 'certs/chain.crt'),
      cert: join(folder, 'certs/sub/me.crt'),
      key: join(outside, 'x.key'),
    })
  })

  it('may be symbolic links, and a loop of them is an error', async () => {
    const folder = await folderWith({ 'certs/.keep': '' })
    await symlink(join(folder, 'a'), join(folder, 'b'))
    await symlink(join(folder, 'b'), join(folder, 'a'))
    expect((await said(rightFiles(), `chain: chain.crt, cert: me.crt, key: ${join(folder, 'a')}`)).lines).toEqual([
      `error key: ${join(folder, 'a')} cannot be read (ELOOP)`,
    ])
  })

  it('of an output that is off are not looked at', async () => {
    const yaml = MINIMAL.replace(
      'outputs: {',
      'outputs: {devo_1: {type: devo_platform, enabled: false, config: {chain: x, cert: y, key: z}}, ',
    )
    expect((await outcomeOfText(yaml, { checkCertificates: true })).problems).toEqual([])
  })
})

describe('tls.ca of an input', () => {
  async function saidOfCa(pem: string | null) {
    const folder = await folderWith({
      'config/config.yaml': `
outputs: {console_1: {type: console}}
inputs:
  proofpoint_tap: {id: 12345, credentials: {username: u, password: p}, services: {clicksBlocked: {}}, tls: {ca: ca.crt}}
`,
      ...(pem !== null && { 'certs/ca.crt': pem }),
    })
    const { loaded, problems } = await outcomeOf(join(folder, 'config/config.yaml'), { now: Date.now(), checkCertificates: true })
    return loaded?.config.inputs[0]?.ca?.replace(folder, 'ROOT') ?? formatProblems(problems).replaceAll(folder, 'ROOT')
  }

  it('is looked up in certs/ and checked', async () => {
    expect(await saidOfCa(root.certPem)).toBe('ROOT/certs/ca.crt')
    expect(await saidOfCa(null)).toBe('error inputs.proofpoint_tap.tls.ca: ROOT/certs/ca.crt does not exist')
    expect(await saidOfCa(good.certPem)).toMatch(/^error inputs.proofpoint_tap.tls.ca: .* holds no certificate of an authority/)
  })
})
