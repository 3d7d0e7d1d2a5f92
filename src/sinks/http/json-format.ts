import { itSaid } from './answer-errors.ts'
import { nothing, type Answer, type Format, type RefusedRequest } from './format.ts'

/** The events' JSON alone: one a line, or as one array. Every 2xx is a promise. */
export function jsonFormat(url: string, form: 'ndjson' | 'json_array', secrets: readonly string[]): Format {
  const asArray = form === 'json_array'
  return {
    url: new URL(url),
    headers: { 'content-type': asArray ? 'application/json' : 'application/x-ndjson' },
    open: asArray ? '[' : '',
    joint: asArray ? ',' : '\n',
    close: asArray ? ']' : '\n',
    after: '',
    empty: asArray ? '[]' : '',
    before: () => nothing,
    taken: () => [],
    refused: (answer) => refusedRequest(answer, secrets),
    confirm: async () => undefined,
    check: async () => undefined,
  }
}

/** A destination of its own kind says with 400 or 422 that it cannot read what it got, and seldom in which event that is. */
export function refusedRequest(answer: Answer, secrets: readonly string[]): RefusedRequest {
  return { reason: `refused (${answer.status})${itSaid(answer, secrets)}`, index: null }
}
