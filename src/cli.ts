#!/usr/bin/env node
/** No library may be imported before this check: they crash on an older Node with a message that helps nobody. */
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
if (major < 22 || (major === 22 && minor < 19)) {
  const { withCode } = await import('./pipeline/errors.ts')
  const text = `tap-collector needs Node 22.19 or later, and this is Node ${process.versions.node}. In a checkout, "npm start" and "npx tap-collector" bring their own.`
  process.stderr.write(`${withCode(text, { code: 'NodeTooOld' })}\n`)
  process.exitCode = 2
} else {
  // Events pass through as bytes that live for a moment. V8 lets its space for young objects grow to 32 MB before it looks for what is dead in it,
  // and those bytes with it; kept at its first size it costs no time that could be measured, and some 25 MB less.
  const { setFlagsFromString } = await import('node:v8')
  setFlagsFromString('--semi-space-growth-factor=1')
  const { main } = await import('./commands/main.ts')
  process.exitCode = await main(process.argv.slice(2))
}
export {}
