import { createInterface } from 'node:readline/promises'
import { ConfigurationError } from '../pipeline/errors.ts'

/** Asks the person at the terminal. Throws ConfigurationError where there is nobody; the command then has a `--yes`. */
export async function confirmed(question: string): Promise<boolean> {
  if (!process.stdin.isTTY) {
    throw new ConfigurationError([{ path: '--yes', message: 'nobody can be asked here; add --yes to confirm' }], { code: 'UsageError' })
  }
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  try {
    return /^y(es)?$/i.test((await terminal.question(question)).trim())
  } finally {
    terminal.close()
  }
}
