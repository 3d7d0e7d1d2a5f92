import { expect, test, vi } from 'vitest'
import { main } from '../../src/commands/main.ts'
import { commandLines } from './command-lines.ts'

async function helpOf(...args: readonly string[]): Promise<string> {
  const written: string[] = []
  const write = vi.spyOn(process.stdout, 'write').mockImplementation((text) => written.push(String(text)) > 0)
  try {
    expect(await main([...args, '--help'])).toBe(0)
  } finally {
    write.mockRestore()
  }
  return written.join('')
}

test('each command that documents, messages and the picture of a terminal tell a user to give exists, with its options', async () => {
  const verbs = [...(await helpOf()).matchAll(/^ {2}([a-z-]+)(?: \[options\].*| {2,}.*)$/gm)].map(([, verb = '']) => verb).filter((verb) => verb !== 'help')
  expect(verbs).toContain('dead-letters')
  const options = new Map(await Promise.all(verbs.map(async (verb) => [verb, new Set((await helpOf(verb)).match(/--[a-z-]+/g))] as const)))
  const lines = commandLines(verbs)
  expect(lines.length).toBeGreaterThan(80)
  // Elsewhere than in a document the name may stand in a sentence: "tap-collector needs Node 22.19".
  const isCommand = ({ where, flags }: (typeof lines)[number]) => flags.length > 0 || /^\S+\.(?:md|svg): /.test(where)
  const wrong = lines.filter((line) => isCommand(line) && (!options.has(line.verb) || line.flags.some((flag) => options.get(line.verb)?.has(flag) === false)))
  expect(wrong.map(({ where }) => where)).toEqual([])
  const shown = lines.filter(({ where }) => where.startsWith('docs/images/terminal.svg')).map(({ verb }) => verb)
  expect(new Set(shown)).toEqual(new Set(['validate', 'run', 'status']))
})
