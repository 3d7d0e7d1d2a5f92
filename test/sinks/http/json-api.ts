import type { Api, Told } from './destination.ts'

export const LOGIN = `Basic ${Buffer.from('me:hunter2').toString('base64')}`

/**
 * A strict destination of somebody's own: a login, one form of body, and the whole request or nothing. An event with `bad` is refused with all that
 * came with it, and the answer does not say which it was.
 */
export class JsonApi {
  readonly kept: string[] = []
  readonly #form: 'ndjson' | 'json_array'

  constructor(form: 'ndjson' | 'json_array') {
    this.#form = form
  }

  readonly answer: Api = ({ method, headers, body, path }): Told => {
    if (headers.authorization !== LOGIN) return { status: 401, body: `who is ${headers.authorization ?? 'there'}?` }
    if (path !== '/events') return { status: 404 }
    if (method !== 'POST') return { status: 405 }
    const type = this.#form === 'ndjson' ? 'application/x-ndjson' : 'application/json'
    if (headers['content-type'] !== type) return { status: 415, body: `not ${type}` }
    const events = this.#read(body)
    if (events === null) return { status: 400, body: 'no JSON of that form' }
    if (events.some((event) => 'bad' in event)) return { status: 400, body: 'schema violation' }
    this.kept.push(...events.map((event) => JSON.stringify(event)))
    return { status: 204 }
  }

  #read(body: string): object[] | null {
    try {
      if (this.#form === 'json_array') {
        const list: unknown = JSON.parse(body)
        return Array.isArray(list) && list.every(isObject) ? list : null
      }
      if (body === '') return []
      if (!body.endsWith('\n')) return null
      const list: unknown[] = body.slice(0, -1).split('\n').map((line): unknown => JSON.parse(line))
      return list.every(isObject) ? list : null
    } catch {
      return null
    }
  }
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
