import { readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { parse, stringify } from 'yaml'
import { Metrics } from '../../src/telemetry/metrics.ts'
import { dashboardExpressions } from '../support/dashboard.ts'
import { ALERTS, describePrometheus, promtool } from '../support/prometheus.ts'

interface Rules {
  readonly groups: readonly { readonly rules: readonly { readonly alert: string; readonly expr: string; readonly labels: { severity: string }; readonly annotations: Record<string, string> }[] }[]
}

const CASES = fileURLToPath(new URL('./prometheus/alerts.yml', import.meta.url))
const rules = (parse(readFileSync(ALERTS, 'utf8')) as Rules).groups.flatMap((group) => group.rules) // promtool checks its form

/** The names that /metrics announces; a histogram's samples have suffixes. */
async function announced(): Promise<Set<string>> {
  const text = await new Metrics({ version: '1', read: async () => [] }).text()
  return new Set([...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].flatMap(([, name = '', type]) => (type === 'histogram' ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name])))
}

test.each([
  ['alert', rules.map(({ alert, expr }) => ({ title: alert, expr }))],
  ['panel', dashboardExpressions('5m')],
])('every metric that an %s names exists', async (_what, expressions) => {
  const names = await announced()
  expect(expressions.length).toBeGreaterThan(10)
  for (const { title, expr } of expressions) {
    const used = [...expr.matchAll(/\b(?:tap_collector|process|nodejs)_\w+/g)].map(([name]) => name)
    expect(used.length, title).toBeGreaterThan(0)
    for (const name of used) expect(names, `${title}: ${name}`).toContain(name)
  }
})

test('every alert says what is wrong and what to do, and how urgent it is', () => {
  for (const { alert, labels, annotations } of rules) {
    expect(['warning', 'critical'], alert).toContain(labels.severity)
    expect(annotations.summary?.length, alert).toBeGreaterThan(20)
    expect(annotations.description?.length, alert).toBeGreaterThan(60)
  }
})

describePrometheus('promtool', () => {
  test('takes the alerts, and each of them fires when it should and not when it should not', () => {
    const checked = promtool(['check', 'rules', ALERTS])
    expect(checked.isGood, checked.said).toBe(true)
    const tested = promtool(['test', 'rules', CASES])
    expect(tested.isGood, tested.said).toBe(true)
    const cases = readFileSync(CASES, 'utf8')
    for (const { alert } of rules) expect(cases, `no case for ${alert}`).toContain(`alertname="${alert}"`)
  })

  test('takes every expression of the dashboard', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'tap-dashboard-'))
    onTestFinished(() => rm(dir, { recursive: true, force: true }))
    const recorded = dashboardExpressions('5m').map(({ expr }, index) => ({ record: `panel:${index}`, expr }))
    await writeFile(join(dir, 'panels.yml'), stringify({ groups: [{ name: 'panels', rules: recorded }] }))
    const { isGood, said } = promtool(['check', 'rules', join(dir, 'panels.yml')])
    expect(isGood, said).toBe(true)
  })
})
