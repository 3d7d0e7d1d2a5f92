import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { beforeEach, describe, expect, it } from 'vitest'
import { substitute } from '../../src/config/substitute.ts'
import { folderWith } from './setup.ts'

const ENV = { NAME: 'value', EMPTY: '', DOLLAR: '${NAME}', _x1: 'under' }
let root: string

beforeEach(async () => {
  root = await folderWith({ plain: 'text\n' })
})

const put = (text: string) => substitute(text, { env: ENV, root })

describe('${NAME}', () => {
  it.each([
    ['plain', 'plain', false],
    ['$NAME and $', '$NAME and $', false],
    ['${NAME}', 'value', true],
    ['a${NAME}b${_x1}c', 'avaluebunderc', true],
    ['${EMPTY}', '', true],
    ['$${NAME}', '${NAME}', false],
    ['$$${NAME}', '$${NAME}', false],
    ['$${${NAME}', '${value', true],
    ['${DOLLAR}', '${NAME}', true],
  ])('%s is %s', (text, expected, foreign) => {
    expect(put(text)).toEqual({ text: expected, foreign })
  })

  it.each([
    ['${MISSING}', 'reads the environment variable MISSING, which is not set'],
    [
      '${MISSING}${OTHER}',
      'reads the environment variable MISSING, which is not set, and reads the environment variable OTHER, which is not set',
    ],
    ['${', 'has ${ without its closing brace; write $${ for the characters ${ themselves'],
    ['${NAME', 'has ${ without its closing brace; write $${ for the characters ${ themselves'],
    ['${a b}', 'has ${...} with something else than a variable or file:PATH in it; write $${ for the characters ${ themselves'],
    ['${}', 'has ${...} with something else than a variable or file:PATH in it; write $${ for the characters ${ themselves'],
    ['${file:}', 'has ${file:} without a path'],
  ])('%s is a problem', (text, wrong) => {
    expect(put(text)).toEqual({ wrong })
  })

  it('any value of the environment arrives as it is, and is not looked at again', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (value) => {
        expect(substitute('<${X}>', { env: { X: value }, root })).toEqual({ text: `<${value}>`, foreign: true })
      }),
    )
  })
})

describe('${file:PATH}', () => {
  it.each([
    ['text', 'text'],
    ['text\n', 'text'],
    ['text\r\n', 'text'],
    ['text\n\n', 'text\n'],
    ['\ntext ', '\ntext '],
    ['', ''],
    ['\uFEFFtext', 'text'],
    ['${NAME}\n', '${NAME}'],
  ])('%j is read as %j', async (content, expected) => {
    await writeFile(join(root, 'file'), content)
    expect(put('${file:file}')).toEqual({ text: expected, foreign: true })
    expect(put(`\${file:${join(root, 'file')}}`)).toEqual({ text: expected, foreign: true })
  })

  it('that cannot be read is a problem with the path of the file', async () => {
    await mkdir(join(root, 'folder'))
    await writeFile(join(root, 'large'), 'x'.repeat(64 * 1024 + 1))
    await writeFile(join(root, 'binary'), Buffer.from([0xff, 0xfe, 0x00]))
    expect(put('${file:no/such}')).toEqual({ wrong: `reads the file ${join(root, 'no/such')}, which does not exist` })
    expect(put('${file:plain/x}')).toEqual({ wrong: `reads the file ${join(root, 'plain/x')}, which does not exist` })
    expect(put('${file:folder}')).toEqual({ wrong: `reads the file ${join(root, 'folder')}, which is a folder` })
    expect(put('${file:large}')).toEqual({ wrong: `reads the file ${join(root, 'large')}, which is larger than 64 KiB` })
    expect(put('${file:binary}')).toEqual({ wrong: `reads the file ${join(root, 'binary')}, which is not text in UTF-8` })
  })
})
