import { inspect } from 'node:util'

/**
 * The same object, but JSON, logs and `console.log` show `[secret]` for these keys. It guards against printing by accident only:
 * reading the keys, and copies of the object, give the values.
 */
export function masked<T extends object>(object: T, keys: readonly (keyof T)[]): T {
  const hidden = new Set<PropertyKey>(keys)
  const shown = () =>
    Object.fromEntries(Object.entries(object).map(([key, value]) => [key, value !== null && hidden.has(key) ? '[secret]' : value]))
  Object.defineProperty(object, 'toJSON', { value: shown, enumerable: false })
  Object.defineProperty(object, inspect.custom, { value: shown, enumerable: false })
  return object
}
