import type { Api, Asked, Told } from './destination.ts'

export const API_KEY = 'dGVzdDprZXk6b2Y6dGVzdHM='

/**
 * The bulk API with the answers of Elasticsearch: actions and documents in turn, a verdict for each, 409 for an `_id` that is there, 400 for a
 * document that does not fit the mapping that earlier ones have made.
 */
export class ElasticApi {
  readonly indexes = new Map<string, Map<string, string>>()
  /** What happens to single documents in the place of being stored: the status, by the document's text. */
  mood: ((document: string) => number) | null = null
  readonly #mappings = new Map<string, Map<string, string>>()

  get documents(): string[] {
    return [...this.indexes.values()].flatMap((index) => [...index.values()])
  }

  readonly answer: Api = (asked): Told => {
    const { method, path, headers, body, query } = asked
    if (headers.authorization !== `ApiKey ${API_KEY}`) return failed(401, 'security_exception', 'missing authentication credentials for REST request [/_bulk]')
    if (path !== '/_bulk') return failed(404, 'index_not_found_exception', `no such index [${path}]`)
    if (method !== 'POST' && method !== 'PUT') return failed(405, 'method_not_allowed', 'Incorrect HTTP method')
    if (!/^application\/(x-nd)?json$/.test(headers['content-type'] ?? '')) return failed(406, 'media_type_header_exception', `Content-Type header [${headers['content-type'] ?? ''}] is not supported`)
    if (body === '') return failed(400, 'parse_exception', 'request body is required')
    if (!body.endsWith('\n')) return failed(400, 'illegal_argument_exception', String.raw`The bulk request must be terminated by a newline [\n]`)
    return this.#bulk(asked, query.has('filter_path'))
  }

  #bulk({ body }: Asked, isFiltered: boolean): Told {
    const lines = body.slice(0, -1).split('\n')
    const items: object[] = []
    for (let at = 0; at < lines.length; at += 2) {
      const action: unknown = JSON.parse(lines[at] ?? '')
      const create: unknown = typeof action === 'object' && action !== null && 'create' in action ? action.create : null
      if (typeof create !== 'object' || create === null || !('_index' in create) || !('_id' in create)) return failed(400, 'illegal_argument_exception', `Malformed action/metadata line [${at + 1}]`)
      const document = lines[at + 1]
      if (document === undefined) return failed(400, 'illegal_argument_exception', 'a document is missing')
      const { status, ...rest } = this.#create(String(create._index), String(create._id), document)
      const result = { status, ...rest }
      items.push({ create: isFiltered ? result : { _index: create._index, _id: create._id, ...result } })
    }
    const errors = items.some((item) => 'create' in item && typeof item.create === 'object' && item.create !== null && 'error' in item.create)
    return { status: 200, body: { errors, items } }
  }

  #create(index: string, id: string, document: string): { status: number; error?: { type: string; reason: string } } {
    if (index !== index.toLowerCase() || /[\\/*?"<>| ,#]/.test(index)) return { status: 400, error: { type: 'invalid_index_name_exception', reason: `Invalid index name [${index}], must be lowercase` } }
    const documents = this.indexes.get(index) ?? new Map<string, string>()
    this.indexes.set(index, documents)
    if (documents.has(id)) return { status: 409, error: { type: 'version_conflict_engine_exception', reason: `[${id}]: version conflict, document already exists (current version [1])` } }
    const mood = this.mood?.(document) ?? 201
    if (mood !== 201) return { status: mood, error: { type: 'es_rejected_execution_exception', reason: 'rejected execution of coordinating operation' } }
    const wrong = this.#fit(index, document)
    if (wrong !== null) return { status: 400, error: { type: 'document_parsing_exception', reason: wrong } }
    documents.set(id, document)
    return { status: 201 }
  }

  #fit(index: string, document: string): string | null {
    const parsed: unknown = JSON.parse(document)
    if (typeof parsed !== 'object' || parsed === null) return 'not an object'
    const mapping = this.#mappings.get(index) ?? new Map<string, string>()
    this.#mappings.set(index, mapping)
    if (Object.hasOwn(parsed, '')) return 'field name cannot be an empty string'
    const kinds = Object.entries(parsed).flatMap(([field, value]: [string, unknown]) => {
      // A list is as good as one of its values, and null as none.
      const [one = null]: unknown[] = [value].flat()
      return one === null ? [] : [[field, typeof one === 'object' ? 'object' : 'text'] as const]
    })
    const odd = kinds.find(([field, kind]) => (mapping.get(field) ?? kind) !== kind)
    if (odd !== undefined) return `object mapping for [${odd[0]}] tried to parse field [${odd[0]}] as object, but found a concrete value`
    for (const [field, kind] of kinds) mapping.set(field, kind)
    return null
  }
}

function failed(status: number, type: string, reason: string): Told {
  return { status, body: { error: { type, reason }, status } }
}
