// What comes from the collector is shown as text, never as markup: names, errors and addresses may hold what strangers have written.
import { element, svg, update } from './page-dom.js'
import { follow } from './page-feed.js'
import { ago, count, duration, megabytes, time } from './page-words.js'

const SOON_DAYS = 30
const DAY_MS = 86_400_000

const byId = (id) => document.getElementById(id)
const feed = follow({
  onState(state) {
    byId('login').hidden = true
    show(state)
  },
  onConnection(text, isLost) {
    say('connection', text)
    byId('connection').className = isLost ? 'lost' : ''
    document.body.className = isLost ? 'stale' : ''
  },
  onLogin(refused) {
    const wasHidden = byId('login').hidden
    byId('login').hidden = false
    byId('refused').textContent = refused ? 'This token is not the right one.' : ''
    update(byId('state'), [])
    setVerdict('locked', 'wait')
    if (wasHidden || refused) byId('token').focus()
  },
})
byId('login').addEventListener('submit', (event) => {
  event.preventDefault()
  feed.login(byId('token').value)
  byId('token').value = ''
})

/** What has not changed is not said again by a screen reader. */
function say(id, text) {
  if (byId(id).textContent !== text) byId(id).textContent = text
}

function setVerdict(text, kind) {
  say('verdict', text)
  byId('verdict').className = `pill ${kind}`
}

function show(state) {
  const title = `${state.name} — TAP collector`
  if (document.title !== title) document.title = title
  byId('name').textContent = state.name
  if (state.role === 'standby') setVerdict('stands by', 'good')
  else setVerdict(state.ready ? 'makes progress' : 'waits', state.ready ? 'good' : 'bad')
  update(byId('state'), [
    ...attention(state),
    section('Services', state.services.map((service) => serviceCard(service, state))),
    section('Outputs', state.outputs.map((output) => outputCard(output, state))),
    section('Requests to Proofpoint', state.pools.map(poolCard)),
    section('Buffer', [bufferCard(state)]),
    element('p', { class: 'faint' }, `Version ${state.version}, running since `, time(state.started_at), '.'),
  ])
}

function attention({ reasons, codes, services, outputs }) {
  const items = [
    ...reasons.map(({ part, code, reason, since }) => item(part === 'standby' ? 'wait' : 'bad', part, ...coded(code, reason), ', since ', time(since))),
    ...services.flatMap(({ input, service, gaps }) =>
      gaps.map(({ from, to, reason }) => item('bad', `${input}/${service}`, ...coded(codes.gap, 'gap, lost for good: '), time(from), ' to ', time(to), `: ${reason}`)),
    ),
    ...outputs.filter(({ missed_events }) => missed_events > 0).map(({ output, missed_events }) =>
      item('bad', output, ...coded(codes.missed, `gap: ${count(missed_events)} events were gone from the buffer before it had them`)),
    ),
  ]
  if (items.length === 0) return []
  return [element('section', { 'aria-label': 'What needs attention', id: 'attention' }, element('h2', {}, 'What needs attention'), element('ul', {}, ...items))]
}

/** A reason with what docs/errors.md calls it, to be looked up there. */
function coded(code, reason) {
  return code === null ? [reason] : [element('code', {}, code), ` ${reason}`]
}

function item(kind, part, ...words) {
  return element('li', { class: kind }, element('b', {}, part), ' ', element('span', {}, ...words))
}

function section(title, cards) {
  return element('section', { 'aria-label': title }, element('h2', {}, title), element('div', { class: 'cards' }, ...cards))
}

function card(name, [text, kind], rows, ...rest) {
  const shown = rows.filter((row) => row !== null).flatMap(([label, ...value]) => [element('dt', {}, label), element('dd', {}, ...value)])
  return element(
    'article',
    { class: 'card', 'data-part': name },
    element('div', {}, element('h3', {}, name), element('span', { class: kind }, text)),
    element('dl', {}, ...shown),
    ...rest,
  )
}

const reasonsBelow = (part, { reasons }) => reasons.filter((known) => known.part === part || known.part.startsWith(`${part}/`))

function serviceCard(service, state) {
  const part = `${service.input}/${service.service}`
  const waits = reasonsBelow(part, state)
  const verdict = waits.length === 0 ? ['reads', 'good'] : waits.every((known) => known.part.endsWith('/holes')) ? ['reads on behind a hole', 'wait'] : ['waits', 'bad']
  const rows = [
    ['Settled', service.settled === null ? 'not started' : time(service.settled)],
    service.lag_seconds === null ? null : ['Lag', duration(service.lag_seconds)],
    ['Last read', service.last_read === null ? 'never' : time(service.last_read)],
    typeof service.backlog_events === 'number' ? ['To look at', `${count(service.backlog_events)} events`] : null,
    ['Last error', ...lastError(service.last_error)],
    ['Holes, gaps', `${count(service.holes.length)}, ${count(service.gaps.length)}`],
  ]
  return card(part, state.role === 'standby' ? ['stands by', 'good'] : verdict, rows, chart(service.new_events_by_hour, state), pieces(service, state.codes))
}

function lastError(error) {
  if (error === null) return ['none since the start']
  return [...coded(error.code, error.reason), ...(error.ended_at === null ? [', since ', time(error.since)] : [', over since ', time(error.ended_at)])]
}

function pieces({ holes, gaps }, codes) {
  if (holes.length + gaps.length === 0) return null
  return element(
    'details',
    {},
    element('summary', {}, 'Holes and gaps'),
    ...holes.map(({ from, to, reason }) => element('p', {}, ...coded(codes.hole, 'hole '), time(from), ' to ', time(to), `, tried again every hour: ${reason}`)),
    ...gaps.map(({ from, to, reason }) => element('p', {}, ...coded(codes.gap, 'gap '), time(from), ' to ', time(to), `, lost for good: ${reason}`)),
  )
}

function chart(hours, { time: now, started_at: startedAt }) {
  const most = Math.max(1, ...hours)
  const total = hours.reduce((sum, events) => sum + events, 0)
  const began = Date.parse(now) - Date.parse(startedAt) < DAY_MS ? ', counted since the start of the collector' : ''
  const bars = hours.map((events, hour) => {
    const height = events === 0 ? 0.5 : Math.max(2, (events / most) * 40)
    const when = hours.length - 1 - hour
    return svg(
      'rect',
      { x: hour * 10 + 1, y: 40 - height, width: 8, height },
      svg('title', {}, `${count(events)} new events ${when === 0 ? 'in this hour' : `${when} h ago`}`),
    )
  })
  const label = `New events per hour, last ${hours.length} hours: ${count(total)} in all, at most ${count(Math.max(...hours))} in an hour, ${count(hours.at(-1))} in this one`
  return element(
    'figure',
    {},
    svg('svg', { viewBox: `0 0 ${hours.length * 10} 40`, preserveAspectRatio: 'none', role: 'img', 'aria-label': label }, ...bars),
    element('figcaption', {}, `${count(total)} new events in 24 h, ${count(hours.at(-1))} in this hour${began}`),
  )
}

function outputCard(output, state) {
  const waits = reasonsBelow(output.output, state)
  const rows = [
    ['Type', output.type],
    ['Backlog', output.backlog_events === null ? 'not started' : `${count(output.backlog_events)} events`],
    ['Last proof', output.last_proof === null ? 'never' : time(output.last_proof)],
    ['Dead letters', count(output.dead_letters)],
    output.certificate_expires === null ? null : ['Certificate', ...certificate(output.certificate_expires, state.time)],
    ['Last error', ...lastError(output.last_error)],
  ]
  if (output.type === 'off') return card(output.output, ['off', 'wait'], rows)
  return card(output.output, waits.length > 0 ? ['waits', 'bad'] : [output.backlog_events > 0 ? 'delivers' : 'has all', 'good'], rows)
}

function certificate(expires, now) {
  const days = Math.floor((Date.parse(expires) - Date.parse(now)) / DAY_MS)
  const text = days < 0 ? 'expired' : `${count(days)} days left`
  return [element('span', { class: days < 0 ? 'bad' : days < SOON_DAYS ? 'wait' : '' }, text), ', until ', time(expires)]
}

function poolCard({ input, pool, remaining, limit, used, free_at: freeAt }) {
  const name = `${input}/${pool}`
  if (remaining === null || limit === null) return card(name, ['no limit', 'good'], [['Used', `${count(used)} in 24 h`]])
  const taken = Math.max(0, limit - remaining)
  return card(
    name,
    remaining > 0 ? ['has requests left', 'good'] : ['used up', 'bad'],
    [
      ['Used', `${count(taken)} of ${count(limit)}`],
      ['Next request', ...(remaining > 0 ? ['free now'] : ['free at ', time(freeAt)])],
    ],
    element('progress', { value: taken, max: Math.max(1, limit), 'aria-label': `requests used of pool ${name}` }),
  )
}

function bufferCard(state) {
  const { buffer, outputs, reasons } = state
  const full = reasons.some(({ reason }) => /buffer .*full|disk is full/i.test(reason))
  const trouble = reasons.some(({ part }) => part === 'buffer')
  const dead = outputs.reduce((sum, output) => sum + output.dead_letters, buffer.refused_by_the_source)
  const hasSize = buffer.size_in_bytes !== null && buffer.max_size_in_bytes !== null
  const rows = [
    hasSize ? ['Size', `${megabytes(buffer.size_in_bytes)} of ${megabytes(buffer.max_size_in_bytes)}`] : null,
    ['Dead letters', `${count(dead)}${buffer.refused_by_the_source > 0 ? `, ${count(buffer.refused_by_the_source)} of them refused as malformed by the source` : ''}`],
    ['Read', state.read_at === null ? 'not yet' : ago(state.read_at, state.time)],
  ]
  return card(
    buffer.type,
    trouble ? ['waits', 'bad'] : full ? ['full', 'bad'] : ['answers', 'good'],
    rows,
    hasSize ? element('progress', { value: buffer.size_in_bytes, max: Math.max(1, buffer.max_size_in_bytes), 'aria-label': 'buffer used' }) : null,
  )
}
