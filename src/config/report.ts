import { describeProblem, type Problem } from '../pipeline/errors.ts'

/** Shorter ones are no protection and would hide ordinary values. */
const SHORTEST_HIDDEN = 3

/** Gathers everything that is wrong in one go. The same thing said twice counts once. */
export class Report {
  readonly #problems = new Map<string, Problem>()
  readonly #warnings = new Map<string, Problem>()
  readonly #hidden = new Set<string>()
  readonly #excused = new Set<string>()

  /** `value` is what was seen; whoever calls owes that it is no secret (see `show`). */
  problem(path: string, message: string, value?: string): void {
    this.#keep(this.#problems, path, message, value)
  }

  warning(path: string, message: string, value?: string): void {
    this.#keep(this.#warnings, path, message, value)
  }

  /** A value that holds this text is never shown, wherever else in the file it stands (through an anchor, or by mistake). */
  hide(text: string): void {
    if (text.length >= SHORTEST_HIDDEN) this.#hidden.add(text)
  }

  /** What is missing at this path has its reason in another problem, such as a key with a typing error. */
  excuse(path: string): void {
    this.#excused.add(path)
  }

  /** True where it was already said why something at this path is missing: there, or of a mapping that holds it. */
  isExplained(path: string): boolean {
    return [...this.#excused, ...this.problems.map((problem) => problem.path)].some(
      (known) => path === known || path.startsWith(`${known}.`),
    )
  }

  hasProblemBelow(path: string): boolean {
    return this.problems.some((problem) => problem.path.startsWith(`${path}.`))
  }

  get problems(): readonly Problem[] {
    return [...this.#problems.values()]
  }

  get warnings(): readonly Problem[] {
    return [...this.#warnings.values()]
  }

  #keep(found: Map<string, Problem>, path: string, message: string, value: string | undefined): void {
    const shown =
      value !== undefined && ![...this.#hidden].some((text) => value.includes(text) || value.includes(JSON.stringify(text).slice(1, -1)))
    const problem: Problem = shown ? { path, message, value } : { path, message }
    found.set(describeProblem(problem), problem)
  }
}

/** One line for each, for a person: `error outputs.devo_1.config.port: must be a whole number from 1 to 65535, but found 0`. */
export function formatProblems(problems: readonly Problem[], level: 'error' | 'warning' = 'error'): string {
  return problems.map((problem) => `${level} ${describeProblem(problem)}`).join('\n')
}
