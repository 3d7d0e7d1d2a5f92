import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
/** The simulator is another program's part, and the suites of `contract` are for test runners: neither speaks to the collector's operator. */
const NOT_OURS = /^src\/(?:simulator|contract)\//
const LEVELS = new Set(['warn', 'error', 'fatal'])
/** The classes of pipeline/errors.ts that take a code; ConfigurationError has a default. */
const BASES = ['RetryableError', 'FatalError']

/** `src/a.ts:12: what was written there`, so that a failing test leads to the line. */
export interface Found {
  readonly where: string
  readonly hasCode: boolean
}

export interface Source {
  readonly path: string
  readonly tree: ts.SourceFile
}

export function sources(): readonly Source[] {
  const paths = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
    .map((path) => `src/${path}`)
    .filter((path) => path.endsWith('.ts') && !NOT_OURS.test(path))
  return paths.map((path) => parsed(path, readFileSync(join(ROOT, path), 'utf8')))
}

export function parsed(path: string, text: string): Source {
  return { path, tree: ts.createSourceFile(path, text, ts.ScriptTarget.ESNext, true) }
}

/** Every call that may log a warning or worse: `log.warn(...)`, and `log[isNews ? 'warn' : 'debug'](...)` whatever its level. */
export function logCalls(all: readonly Source[]): readonly Found[] {
  return all.flatMap(({ path, tree }) =>
    nodesOf(tree)
      .filter(ts.isCallExpression)
      .filter(({ expression: callee }) => isLogMethod(callee))
      .map((call) => found(path, tree, call, call.arguments[0])),
  )
}

/** Every `new` of an error that takes a code and does not set it itself, and every such `super`. */
export function codedErrors(all: readonly Source[]): readonly Found[] {
  const { owing, extending } = errorClasses(all)
  return all.flatMap(({ path, tree }) =>
    nodesOf(tree).flatMap((node) => {
      const isNew = ts.isNewExpression(node) && ts.isIdentifier(node.expression) && owing.has(node.expression.text)
      const isSuper = ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.SuperKeyword && extending.has(classOf(node))
      if (!isNew && !isSuper) return []
      return [found(path, tree, node, node.arguments?.at(-1))]
    }),
  )
}

/** All writing to standard error that passes by the one who puts codes in front, by path. */
export function rawComplaints(all: readonly Source[]): readonly string[] {
  return all
    .filter(({ tree }) => nodesOf(tree).some((node) => ts.isCallExpression(node) && /^process\.stderr\.write$|^console\./.test(node.expression.getText(tree)) && !node.getText(tree).includes('withCode(')))
    .map(({ path }) => path)
}

/** All names of codes that stand anywhere as text. */
export function namesIn(all: readonly Source[]): ReadonlySet<string> {
  return new Set(all.filter(({ path }) => path !== 'src/pipeline/codes.ts').flatMap(({ tree }) => nodesOf(tree).filter(ts.isStringLiteralLike).map(({ text }) => text)))
}

/** `owing`: those without a constructor of their own, so that whoever makes one gives the code. */
function errorClasses(all: readonly Source[]): { readonly owing: ReadonlySet<string>; readonly extending: ReadonlySet<ts.ClassDeclaration | null> } {
  const owing = new Set(BASES)
  const extending = new Set<ts.ClassDeclaration | null>()
  const known = new Set(BASES)
  const classes = all.flatMap(({ tree }) => nodesOf(tree).filter(ts.isClassDeclaration))
  for (let before = -1; before !== known.size; ) {
    before = known.size
    for (const one of classes) {
      const base = one.heritageClauses?.find(({ token }) => token === ts.SyntaxKind.ExtendsKeyword)?.types[0]?.expression.getText()
      const name = one.name?.text
      if (base === undefined || name === undefined || !known.has(base) || known.has(name)) continue
      known.add(name)
      if (!one.members.some(ts.isConstructorDeclaration)) owing.add(name)
      else if (owing.has(base)) extending.add(one)
    }
  }
  return { owing, extending }
}

function isLogMethod(callee: ts.Expression): boolean {
  if (ts.isPropertyAccessExpression(callee)) return LEVELS.has(callee.name.text) && /(?:^|[.#])log$/.test(callee.expression.getText())
  return ts.isElementAccessExpression(callee) && /(?:^|[.#])log$/.test(callee.expression.getText())
}

function found(path: string, tree: ts.SourceFile, node: ts.Node, options: ts.Node | undefined): Found {
  const line = tree.getLineAndCharacterOfPosition(node.getStart(tree)).line + 1
  return { where: `${path}:${line}: ${node.getText(tree).replace(/\n.*/s, '').slice(0, 100)}`, hasCode: options !== undefined && givesCode(options, tree) }
}

/** `{ code: ... }`, or fields of a parameter whose type says that it has one. */
function givesCode(options: ts.Node, tree: ts.SourceFile): boolean {
  if (ts.isIdentifier(options)) return declares(options.text, tree)
  // `options('DiskFull')`: what it gives has one.
  if (ts.isCallExpression(options) && ts.isIdentifier(options.expression)) return declares(options.expression.text, tree)
  if (!ts.isObjectLiteralExpression(options)) return false
  return options.properties.some((property) =>
    ts.isSpreadAssignment(property) ? ts.isIdentifier(property.expression) && declares(property.expression.text, tree) : property.name.getText(tree) === 'code',
  )
}

/** What of this name is declared in the file with a `code` that cannot be left out. */
function declares(name: string, tree: ts.SourceFile): boolean {
  return nodesOf(tree).some(
    (node) =>
      (ts.isParameter(node) || ts.isVariableDeclaration(node)) && node.name.getText(tree) === name && /\bcode\b(?!\?)/.test((node.type ?? node.initializer)?.getText(tree) ?? ''),
  )
}

function classOf(node: ts.Node): ts.ClassDeclaration | null {
  return ts.findAncestor(node, ts.isClassDeclaration) ?? null
}

function nodesOf(root: ts.Node): readonly ts.Node[] {
  const nodes: ts.Node[] = []
  const visit = (node: ts.Node): void => {
    nodes.push(node)
    ts.forEachChild(node, visit)
  }
  visit(root)
  return nodes
}
