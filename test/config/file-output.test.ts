import { join } from 'node:path'
import { expect, test } from 'vitest'
import { MINIMAL, outcomeOfText } from './setup.ts'

async function file(config: string): Promise<unknown> {
  const yaml = MINIMAL.replace('{console_1: {type: console}}', `{file_1: {type: file, config: {${config}}}}`)
  const { loaded, problems } = await outcomeOfText(yaml, { env: { FOLDER: '/var/tap' } })
  expect(problems).toEqual([])
  const [output] = loaded?.config.outputs ?? []
  return { ...output?.config, root: loaded?.config.root }
}

test('a file output needs its path alone, which begins at the folder that holds config/', async () => {
  expect(await file('path: events/tap.ndjson')).toMatchObject({ rotateBytes: null, gzip: false })
  const { path, root } = (await file('path: events/tap-%Y-%m-%d.%H.100%%.ndjson')) as { path: string; root: string } // as `file` makes it
  expect(path).toBe(join(root, 'events/tap-%Y-%m-%d.%H.100%%.ndjson'))
})

test('a file output takes every key', async () => {
  expect(await file('path: "${FOLDER}/a", rotate_bytes: 1000000, gzip: true')).toMatchObject({ path: '/var/tap/a', rotateBytes: 1_000_000, gzip: true })
})
