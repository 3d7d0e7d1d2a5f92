import { once } from 'node:events'
import { createServer, request, type ServerResponse } from 'node:http'
import { onTestFinished } from 'vitest'

/** A reverse proxy in front of the status page, as they stand before many. */
export interface PageProxy {
  readonly url: string
  /** From now on nothing of a stream of events passes, and none of them ends: not even their headers come. */
  holdStreams(): void
  /** New streams pass again; those that were held stay so. */
  passStreams(): void
}

/** Ends with the test. */
export async function startPageProxy(port: number): Promise<PageProxy> {
  let isHolding = false
  const passing = new Set<ServerResponse>()
  const server = createServer((asked, response) => {
    const isStream = asked.url === '/status/events'
    if (isStream && isHolding) return
    if (isStream) passing.add(response)
    const passed = request({ host: '127.0.0.1', port, path: asked.url, headers: asked.headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.on('data', (chunk) => {
        if (passing.has(response) || !isStream) response.write(chunk)
      })
      answer.on('end', () => response.end())
    })
    passed.on('error', () => response.destroy())
    response.on('close', () => {
      passing.delete(response)
      passed.destroy()
    })
    passed.end()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  const address = server.address()
  return {
    url: `http://127.0.0.1:${typeof address === 'object' ? (address?.port ?? 0) : 0}/`,
    holdStreams() {
      isHolding = true
      passing.clear()
    },
    passStreams() {
      isHolding = false
    },
  }
}
