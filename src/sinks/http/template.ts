import type { Pull } from '../../pipeline/event.ts'

const PLACE = /\{(service|input)\}|%([YmdH])/g

/**
 * A name with what it is made of put in: `{service}`, `{input}` (the input's id), and `%Y`, `%m`, `%d`, `%H` of the pull, in UTC. A pull's time
 * stays, so that an event that is sent again goes to the same place.
 */
export function fillTemplate(template: string, { inputId, service, pulledAt }: Pull): string {
  const time = new Date(pulledAt).toISOString()
  const dates: Readonly<Record<string, string>> = { Y: time.slice(0, 4), m: time.slice(5, 7), d: time.slice(8, 10), H: time.slice(11, 13) }
  return template.replace(PLACE, (_place, name: string | undefined, date: string | undefined) => {
    if (date !== undefined) return dates[date] ?? ''
    return name === 'service' ? service : inputId
  })
}

/** What is wrong with a template, as a sentence, or null. */
export function templateMistake(template: string): string | null {
  const left = template.replace(PLACE, '')
  return /[{}%]/.test(left) ? 'may hold {service}, {input}, %Y, %m, %d and %H, and no other place of that kind' : null
}
