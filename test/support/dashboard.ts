import { readFileSync } from 'node:fs'

interface Dashboard {
  readonly panels: readonly { readonly id: number; readonly title: string; readonly targets: readonly { readonly expr: string; readonly legendFormat: string }[] }[]
}

/** Every expression of the dashboard, with the panel it is in. `range` stands in for Grafana's own variable. */
export function dashboardExpressions(range: string): readonly { readonly title: string; readonly expr: string; readonly legend: string }[] {
  const { panels } = JSON.parse(readFileSync(new URL('../../deploy/grafana/dashboard.json', import.meta.url), 'utf8')) as Dashboard // the file in this repository
  return panels.flatMap(({ title, targets }) => targets.map(({ expr, legendFormat }) => ({ title, expr: expr.replaceAll('$__rate_interval', range), legend: legendFormat })))
}
