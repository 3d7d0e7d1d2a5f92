import type { HttpConfig } from './config.ts'

const MAY_BE_SECRET = /auth|key|token|secret|cookie|passw|signature|credential/i

/**
 * What of the configuration may never stand in a log or an error. Of the user's headers, and of what stands behind the ? of the URL, only what is
 * named like a secret: an ordinary word among them would be cut out of every text.
 */
export function secretsOf({ authorization, headers, url }: Pick<HttpConfig, 'authorization' | 'headers' | 'url'>): readonly string[] {
  const named = [...Object.entries(headers), ...new URL(url).searchParams].filter(([name]) => MAY_BE_SECRET.test(name)).map(([, value]) => value)
  return [...(authorization === null ? [] : partsOf(authorization)), ...named.flatMap(partsOf)].filter((secret) => secret.length >= 4)
}

/** The value, what stands behind its scheme, and of Basic authentication the password. */
function partsOf(value: string): readonly string[] {
  const [scheme = '', credential] = value.split(/ (.*)/s)
  if (credential === undefined) return [value]
  if (scheme.toLowerCase() !== 'basic') return [value, credential]
  const login = Buffer.from(credential, 'base64').toString()
  return [value, credential, login.slice(login.indexOf(':') + 1)]
}
