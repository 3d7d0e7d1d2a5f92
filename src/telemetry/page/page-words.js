import { element } from './page-dom.js'

const SHORT_MS = 86_400_000
const hasZone = () => new Date().getTimezoneOffset() !== 0

/** In UTC, and in the zone of whoever looks where that is another. */
export function time(iso) {
  const date = new Date(iso)
  const local = hasZone() ? ` (${date.toLocaleString('sv-SE', { dateStyle: 'short', timeStyle: 'medium' }).slice(Math.abs(Date.now() - date) < SHORT_MS ? 11 : 0)} local)` : ''
  return element('time', { datetime: iso }, `${iso.slice(0, 19).replace('T', ' ')} UTC${local}`)
}

export function ago(iso, now) {
  return `${duration(Math.max(0, Math.round((Date.parse(now) - Date.parse(iso)) / 1000)))} ago`
}

export function duration(seconds) {
  if (seconds < 120) return `${seconds} s`
  if (seconds < 2 * 3600) return `${Math.round(seconds / 60)} min`
  if (seconds < 2 * 86_400) return `${(seconds / 3600).toFixed(1)} h`
  return `${(seconds / 86_400).toFixed(1)} d`
}

export function count(number) {
  return number.toLocaleString('en')
}

export function megabytes(bytes) {
  return `${(bytes / 1024 / 1024).toFixed(1)} MB`
}
