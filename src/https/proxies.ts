const PROXY_PROTOCOLS = new Set(['http:', 'https:', 'socks5:', 'socks:'])

/**
 * What is wrong with the addresses of proxies that undici is going to use, as a sentence, or null; it would itself name neither the variable nor
 * the mistake. Never shows one: it may hold a password.
 */
export function proxyMistake(): string | null {
  for (const name of ['http_proxy', 'https_proxy']) {
    const used = process.env[name] === undefined ? name.toUpperCase() : name
    const value = process.env[used] ?? ''
    if (value === '' || PROXY_PROTOCOLS.has(URL.parse(value)?.protocol ?? '')) continue
    return `no request can be sent, because the environment variable ${used} is not the URL of a proxy, such as http://proxy.example.com:3128: check ${used}`
  }
  return null
}
