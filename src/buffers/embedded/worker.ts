import { parentPort } from 'node:worker_threads'
import { dropBuffers, invoke, packFailure, transferablesIn } from './protocol.ts'
import type { Request, Response } from './protocol.ts'
import { EmbeddedStore } from './store.ts'
import type { StoreOptions } from './store.ts'

/** The store's thread. It answers one request after the other and ends with `close`; there is nothing to do between them. */
const port = parentPort
if (port === null) throw new Error('this file is a worker thread of the embedded buffer')

let store: EmbeddedStore | null = null

port.on('message', (request: Request) => {
  let response: Response
  try {
    response = { id: request.id, value: answer(request) }
  } catch (error) {
    response = { id: request.id, failure: packFailure(error) }
  }
  if (request.method === 'append') dropBuffers(transferablesIn(request.args))
  port.postMessage(response, 'value' in response ? [...transferablesIn(response.value)] : [])
  if (request.method === 'close' || (request.method === 'open' && store === null)) port.close()
})

function answer({ method, args }: Request): unknown {
  if (method === 'open') {
    // The facade sends exactly these.
    store = new EmbeddedStore(args[0] as StoreOptions)
    return store.ends()
  }
  if (store === null) throw new Error('the buffer is not open')
  if (method === 'close') {
    store.close()
    return undefined
  }
  return invoke(store, method, args)
}
