import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  parseAllDocuments,
  Scalar,
  visit,
  type Alias,
  type Document,
  type Node as YamlNode,
  type Pair,
} from 'yaml'
import { ConfigurationError, type Problem } from '../pipeline/errors.ts'
import type { MapNode, Node, ScalarNode } from './node.ts'
import type { Report } from './report.ts'
import { explainSyntax } from './syntax.ts'

/** Values below these keys are never shown. */
const SENSITIVE = /credential|passw|passphrase|secret|token|api_?key|private|sasl|headers|authorization/i
const DEEPEST = 50
const MOST_NODES = 100_000
const MOST_SYNTAX_PROBLEMS = 10

/**
 * Reads YAML 1.1 as the old collector did (so dates stay text), but keeps the source text of every scalar.
 * Problems that leave a tree go to the report with their path in the YAML, others are thrown with line and column.
 */
export function parseDocument(text: string, file: string, report: Report): MapNode {
  const lines = new LineCounter()
  const documents = parseAllDocuments(text, {
    version: '1.1',
    lineCounter: lines,
    // The library's own messages quote the line, and that line may hold a password.
    prettyErrors: false,
    uniqueKeys: false,
    logLevel: 'silent',
    customTags: (tags) => tags.filter((tag) => typeof tag === 'string' || tag.tag !== 'tag:yaml.org,2002:timestamp'),
  })
  const at = (offset: number) => {
    const { line, col } = lines.linePos(offset)
    return `${file}:${line}:${col}`
  }
  const [document, second] = documents
  if (!Array.isArray(documents) || document === undefined)
    throw unreadable([{ path: file, message: 'is empty; config.example.yaml shows what belongs there' }])
  const syntax = documents.flatMap(({ errors, warnings }) => [...errors, ...warnings])
  if (syntax.length > 0) {
    const problems = syntax.map(({ code, pos }) => ({ path: at(pos[0]), message: explainSyntax(code) }))
    const distinct = problems.filter((problem, index) => problems.findIndex(({ path }) => path === problem.path) === index)
    throw unreadable(distinct.slice(0, MOST_SYNTAX_PROBLEMS))
  }
  if (second !== undefined) {
    throw unreadable([
      { path: at(second.range[0]), message: 'a second document begins here (a line of three dashes); the configuration is one document' },
    ])
  }
  const { contents } = document
  if (contents === null || (isScalar(contents) && contents.value === null)) {
    throw unreadable([{ path: file, message: 'is empty; config.example.yaml shows what belongs there' }])
  }
  const root = new Walk(document, report, at).node(contents, '', false, 0)
  if (root?.kind === 'map') return root
  throw unreadable([...report.problems, { path: file, message: 'must be a mapping with the keys outputs and inputs' }])
}

function unreadable(problems: readonly Problem[]): ConfigurationError {
  return new ConfigurationError(problems, { code: 'ConfigurationUnreadable' })
}

/** Turns the library's tree into ours: anchors and merge keys resolved, everything counted. */
class Walk {
  readonly #targets: ReadonlyMap<Alias, YamlNode | undefined>
  readonly #report: Report
  readonly #at: (offset: number) => string
  #nodes = 0

  constructor(document: Document, report: Report, at: (offset: number) => string) {
    this.#targets = targetsOf(document)
    this.#report = report
    this.#at = at
  }

  /** Undefined where nothing sensible stands there; that is reported. */
  node(node: unknown, path: string, secret: boolean, depth: number): Node | undefined {
    this.#nodes += 1
    if (depth > DEEPEST || this.#nodes > MOST_NODES) {
      // Anchors that hold themselves, or that double at every level, end here and nowhere else.
      throw unreadable([
        { path: path.slice(0, 200), message: `is nested deeper than ${DEEPEST} levels or repeats itself through anchors without end` },
      ])
    }
    if (node === null) return nothing(secret)
    if (isAlias(node)) {
      const target = this.#targets.get(node)
      if (target !== undefined) return this.node(target, path, secret, depth + 1)
      this.#report.problem(
        path,
        'begins with * and so refers to an anchor, and there is none of that name before it; put text that begins with * in quotes',
      )
      return undefined
    }
    if (isMap(node)) return this.#map(node.items, path, secret, depth)
    if (isSeq(node)) {
      const items = node.items.map((item, index) => this.node(item, `${path}[${index}]`, secret, depth + 1))
      return { kind: 'list', items: items.filter((item) => item !== undefined), secret }
    }
    if (isScalar(node)) return this.#scalar(node, path, secret)
    this.#report.problem(path, 'is no mapping, list or plain value')
    return undefined
  }

  #scalar(node: Scalar, path: string, secret: boolean): ScalarNode | undefined {
    const { value } = node
    if (value === null) return nothing(secret)
    if (secret) this.#report.hide(node.source ?? '')
    if (typeof value === 'string') return { kind: 'scalar', value, text: value, secret }
    if (typeof value === 'number' || typeof value === 'boolean')
      return { kind: 'scalar', value, text: node.source ?? String(value), secret }
    // `<<` as a value is text; anything else is binary data or another exotic of YAML 1.1.
    if (typeof value === 'symbol') return { kind: 'scalar', value: '<<', text: '<<', secret }
    this.#report.problem(path, 'must be text, a number, true or false')
    return undefined
  }

  #map(pairs: readonly Pair[], path: string, secret: boolean, depth: number): MapNode {
    const own = new Map<string, Node>()
    const lines = new Map<string, string>()
    const merged: unknown[] = []
    for (const { key, value } of pairs) {
      if (isMergeKey(key)) {
        merged.push(value)
        continue
      }
      const name = keyText(key)
      const where = place(key, this.#at)
      if (name === null) {
        this.#report.problem(path === '' ? where : path, `has a key that is no plain text (${where})`)
        continue
      }
      const below = path === '' ? name : `${path}.${name}`
      const first = lines.get(name)
      if (first !== undefined) {
        // A key below a secret may be a piece of a password that was not quoted.
        this.#report.problem(secret ? path : below, `${secret ? 'has a key that' : ''} is given twice (${first} and ${where})`.trim())
        continue
      }
      lines.set(name, where)
      const node = this.node(value, below, secret || SENSITIVE.test(name), depth + 1)
      if (node !== undefined) own.set(name, node)
    }
    for (const value of merged) this.#merge(value, own, path, secret, depth)
    return { kind: 'map', entries: own, secret }
  }

  /** Keys of the mapping itself count more than merged ones, earlier merged ones more than later ones. */
  #merge(value: unknown, into: Map<string, Node>, path: string, secret: boolean, depth: number): void {
    const source = this.node(value, path, secret, depth + 1)
    const maps = source?.kind === 'list' ? source.items : [source]
    for (const map of maps) {
      if (map?.kind !== 'map') {
        this.#report.problem(path, 'has a merge key << whose value is no mapping')
        continue
      }
      for (const [name, node] of map.entries) if (!into.has(name)) into.set(name, node)
    }
  }
}

/** What each alias stands for: of the nodes before it the last one with its anchor. The library looks through the whole document for each alias. */
function targetsOf(document: Document): ReadonlyMap<Alias, YamlNode | undefined> {
  const anchors = new Map<string, YamlNode>()
  const targets = new Map<Alias, YamlNode | undefined>()
  visit(document, {
    Node(_, node) {
      if (isAlias(node)) targets.set(node, anchors.get(node.source))
      else if (node.anchor !== undefined) anchors.set(node.anchor, node)
    },
  })
  return targets
}

function nothing(secret: boolean): ScalarNode {
  return { kind: 'scalar', value: null, text: '', secret }
}

function isMergeKey(key: unknown): boolean {
  return isScalar(key) && typeof key.value === 'symbol' && key.type === Scalar.PLAIN
}

/** The key's own text: `on`, `123` and `null` are names like any other. */
function keyText(key: unknown): string | null {
  if (!isScalar(key)) return null
  if (typeof key.value === 'string') return key.value
  return key.source ?? null
}

function place(key: unknown, at: (offset: number) => string): string {
  const offset = isNode(key) ? key.range?.[0] : undefined
  return offset === undefined ? 'somewhere' : at(offset).replace(/^.*:(\d+):\d+$/s, 'line $1')
}

function isNode(node: unknown): node is YamlNode {
  return isScalar(node) || isMap(node) || isSeq(node) || isAlias(node)
}
