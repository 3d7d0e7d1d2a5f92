// The state as a stream of server-sent events, read with fetch so that the token goes in a header and never in an address.
const TOKEN = 'tap-collector-token'
/** The collector says something every two seconds; a stream that is silent for so long is a proxy that holds it back, or a connection that is gone. */
const SILENT_MS = 10_000
const POLL_MS = 10_000
const FIRST_RETRY_MS = 1_000
const LONGEST_RETRY_MS = 10_000

/** Follows the collector for as long as the page is open, over restarts of it. */
export function follow({ onState, onConnection, onLogin }) {
  let attempt = new AbortController()
  let wake = null
  const begin = () => {
    attempt = new AbortController()
    void go(attempt)
  }

  async function go({ signal }) {
    let retryMs = FIRST_RETRY_MS
    let lostAt = null
    let back = ''
    const heard = (state, text) => {
      if (lostAt !== null) back = `, back after ${Math.round((Date.now() - lostAt) / 1000)} s away`
      lostAt = null
      onConnection(text + back, false)
      retryMs = FIRST_RETRY_MS
      onState(state)
    }
    while (!signal.aborted) {
      try {
        let outcome = await stream(signal, (state) => heard(state, 'live'))
        if (outcome === 'poll') outcome = await poll(signal, (state) => heard(state, 'every 10 s'))
        if (outcome === 'login') return
        // Nothing is lost; only the stream may do now.
        if (outcome === 'polled') continue
      } catch {
        if (signal.aborted) return
      }
      lostAt ??= Date.now()
      onConnection('The collector does not answer; trying again. What is shown is as it was.', true)
      await pause(retryMs, signal)
      retryMs = Math.min(retryMs * 2, LONGEST_RETRY_MS)
    }
  }

  /** A pause that also ends when somebody looks at the page again. */
  function pause(ms, signal) {
    return new Promise((resolve) => {
      const end = () => {
        clearTimeout(timer)
        signal.removeEventListener('abort', end)
        resolve()
      }
      const timer = setTimeout(end, ms)
      signal.addEventListener('abort', end)
      wake = end
    })
  }

  async function ask(path, signal) {
    const token = sessionStorage.getItem(TOKEN)
    const response = await fetch(path, { signal, cache: 'no-store', headers: token === null ? {} : { authorization: `Bearer ${token}` } })
    if (response.status === 401) {
      sessionStorage.removeItem(TOKEN)
      onConnection('', false)
      onLogin(token !== null)
      return null
    }
    return response
  }

  async function stream(signal, onHeard) {
    const silence = new AbortController()
    const stopped = AbortSignal.any([signal, silence.signal])
    let timer = setTimeout(() => silence.abort(), SILENT_MS)
    let hasHeard = false
    try {
      const response = await ask('status/events', stopped)
      if (response === null) return 'login'
      // Too many look on already.
      if (response.status === 503) return 'poll'
      if (!response.ok) throw new Error(`status ${response.status}`)
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
      let rest = ''
      for (;;) {
        const { done, value } = await reader.read()
        if (done) return 'ended'
        clearTimeout(timer)
        timer = setTimeout(() => silence.abort(), SILENT_MS)
        const parts = (rest + value).split('\n\n')
        rest = parts.pop()
        for (const part of parts) {
          if (!part.startsWith('data: ')) continue
          hasHeard = true
          onHeard(JSON.parse(part.slice('data: '.length)))
        }
      }
    } catch (error) {
      if (silence.signal.aborted && !signal.aborted && !hasHeard) return 'poll'
      throw error
    } finally {
      clearTimeout(timer)
      silence.abort()
    }
  }

  /** For a minute; then the stream is tried again. */
  async function poll(signal, onHeard) {
    for (let times = 0; times < 6; times += 1) {
      const response = await ask('status.json', AbortSignal.any([signal, AbortSignal.timeout(SILENT_MS)]))
      if (response === null) return 'login'
      if (!response.ok) throw new Error(`status ${response.status}`)
      onHeard(await response.json())
      await pause(POLL_MS, signal)
    }
    return 'polled'
  }

  // Nobody looks at a hidden page, and the collector need not read its buffer for it.
  document.addEventListener('visibilitychange', () => {
    if (document.hidden) attempt.abort()
    else begin()
  })
  addEventListener('online', () => wake?.())
  begin()
  return {
    login(token) {
      // What no header can carry is no token of the collector's.
      if (!/^[ -~]+$/.test(token)) {
        onLogin(true)
        return
      }
      attempt.abort()
      sessionStorage.setItem(TOKEN, token)
      begin()
    },
  }
}
