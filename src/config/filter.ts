import type { Condition, FilterConfig, Literal, Test } from '../transforms/config.ts'
import { compilePattern } from '../transforms/pattern/matcher.ts'
import { PatternError } from '../transforms/pattern/parse.ts'
import { decimal } from '../transforms/value.ts'
import { join, read, readScalar, type Component, type Context, type Section } from './component.ts'
import { checkField, warnOfField } from './event-field.ts'
import { isLeftOut, show, type Node } from './node.ts'

export const FILTER: Component<object> = { schema: {}, parts: ['keep', 'drop'] }

interface ConditionValues {
  readonly field: string
  readonly matches: string | null
  readonly ignore_case: boolean
  readonly exists: boolean
}

export const CONDITION: Component<ConditionValues> = {
  schema: {
    field: { doc: 'the field that is looked at, such as /classification or /messageParts/*/filename', format: 'tap_text', default: null, check: checkField },
    matches: { doc: 'a regular expression that is found anywhere in the text; JavaScript without lookaround, backreferences and \\p', format: 'tap_text', default: null, nullable: true },
    ignore_case: { doc: 'true: matches takes upper and lower case for the same', format: 'tap_yes_or_no', default: false },
    exists: { doc: 'true: the field is there and not null; false: it is not', format: 'tap_yes_or_no', default: true },
  },
  parts: ['equals', 'in'],
}

const TESTS = 'equals, in, matches or exists'

/** Reads `filter`: keep or drop, with one condition or a list of which one must hold. */
export function readFilter(node: Node | undefined, path: string, context: Context): FilterConfig {
  const section = read(FILTER, node, path, context)
  const keep = section.part('keep')
  const drop = section.part('drop')
  const effect = isLeftOut(keep) ? 'drop' : 'keep'
  if (isLeftOut(keep) === isLeftOut(drop) && !context.report.isExplained(path) && !context.report.hasProblemBelow(path))
    context.report.problem(path, 'must have either keep or drop; for both, give two filters')
  const at = join(path, effect)
  const conditions = effect === 'keep' ? keep : drop
  if (conditions?.kind !== 'list') return { effect, conditions: isLeftOut(conditions) ? [] : readCondition(conditions, at, context) }
  if (conditions.items.length === 0) context.report.problem(at, 'must have at least one condition, such as {field: /classification, in: [phish]}')
  return { effect, conditions: conditions.items.flatMap((item, index) => readCondition(item, `${at}[${index}]`, context)) }
}

function readCondition(node: Node, path: string, context: Context): readonly Condition[] {
  const { report } = context
  const section = read(CONDITION, node, path, context)
  if (node.kind !== 'map') return []
  const tests = [
    ...[section.part('equals'), section.part('in')].filter((part) => !isLeftOut(part)),
    ...(['matches', 'exists'] as const).filter((key) => !isLeftOut(node.entries.get(key))),
  ]
  if (tests.length !== 1 && !report.hasProblemBelow(path))
    report.problem(path, tests.length === 0 ? `must say what of the field: ${TESTS}` : `must have only one of ${TESTS}`)
  if (!isLeftOut(node.entries.get('ignore_case')) && isLeftOut(node.entries.get('matches')))
    report.problem(join(path, 'ignore_case'), 'belongs to matches, which is not there')
  const test = readTest(section, path, context)
  if (section.given('field')) warnOfField(section.values.field, join(path, 'field'), context, section.shown('field'))
  return section.given('field') && test !== null ? [{ field: section.values.field, test }] : []
}

function readTest(section: Section<ConditionValues>, path: string, context: Context): Test | null {
  const { values } = section
  const equals = section.part('equals')
  const list = section.part('in')
  if (!isLeftOut(equals)) return { kind: 'one-of', literals: readLiteral(equals, join(path, 'equals'), context) }
  if (!isLeftOut(list)) return { kind: 'one-of', literals: readLiterals(list, join(path, 'in'), context) }
  if (values.matches === null) return section.given('exists') ? { kind: 'exists', wanted: values.exists } : null
  try {
    compilePattern(values.matches, values.ignore_case)
  } catch (error) {
    if (!(error instanceof PatternError)) throw error
    context.report.problem(join(path, 'matches'), `is a pattern that ${error.message}`, section.shown('matches'))
  }
  return { kind: 'matches', pattern: values.matches, ignoreCase: values.ignore_case }
}

function readLiterals(node: Node, path: string, context: Context): readonly Literal[] {
  if (node.kind === 'list' && node.items.length > 0) return node.items.flatMap((item, index) => readLiteral(item, `${path}[${index}]`, context))
  context.report.problem(path, 'must be a list of values, such as [phish, malware]', node.kind === 'list' ? undefined : show(node))
  return []
}

function readLiteral(node: Node, path: string, context: Context): readonly Literal[] {
  if (node.kind !== 'scalar' || node.value === null) {
    context.report.problem(path, 'must be text, a number, true or false; for null there is exists: false', show(node))
    return []
  }
  const scalar = readScalar(node, path, context)
  if (scalar === null) return []
  const { value, text } = scalar
  // A number of YAML that JSON would write otherwise, such as 0x1F, counts by its value.
  const number = decimal(text) ?? (typeof value === 'number' ? decimal(String(value)) : null)
  return [{ text, number, boolean: typeof value === 'boolean' ? value : text === 'true' ? true : text === 'false' ? false : null }]
}
