import { sinkContract, type DestinationFault, type SinkHarness } from '../../contract/sink-suite.ts'
import type { HttpConfig } from '../../../src/sinks/http/config.ts'
import type { Trouble } from './destination.ts'
import { HurriedClock } from '../hurried-clock.ts'
import { elasticWorld, jsonWorld, splunkWorld, type World } from './world.ts'

/** 30 s pass in one and a half. */
const HURRY = 20

interface Case<A> {
  readonly world: World<A>
  readonly received: () => readonly string[]
  readonly config: Partial<HttpConfig>
  readonly faults: (clock: HurriedClock) => readonly DestinationFault[]
}

function harness<A>({ world, received, config, faults }: Case<A>): SinkHarness {
  const { destination } = world
  const clock = new HurriedClock()
  return {
    createSink: () => world.sink(config, { clock }),
    received,
    connectionsWithData: () => destination.withEvents,
    openConnections: () => destination.openConnections,
    faults: [trouble(world, 'dies between reading and acknowledging', 'dies'), ...faults(clock)],
    close: async () => world.close(),
  }
}

function trouble({ destination }: World<unknown>, name: string, what: Trouble, clock?: HurriedClock): DestinationFault {
  return {
    name,
    effect: clock === undefined ? 'fails' : 'hangs',
    begin: () => {
      destination.trouble = what
      if (clock !== undefined) clock.speed = HURRY
    },
    heal: () => {
      destination.trouble = null
      if (clock !== undefined) clock.speed = 1
      // What a fault has left hanging would hang on.
      destination.disconnectAll()
    },
  }
}

// What goes wrong with connections and answers is the same for all formats.
sinkContract('http, ndjson', async () => {
  const world = await jsonWorld('ndjson')
  const { destination } = world
  return harness({
    world, received: () => world.api.kept, config: { gzip: true },
    faults: (clock) => [
      trouble(world, 'stalls', 'stalls', clock),
      trouble(world, 'ends in the middle of its answer', 'cuts'),
      trouble(world, 'is overloaded', { status: 503 }),
      trouble(world, 'refuses', { status: 401 }),
      { name: 'is away', effect: 'fails', begin: async () => destination.stop(), heal: async () => destination.start() },
    ],
  })
}, ['dies between reading and acknowledging', 'stalls', 'ends in the middle of its answer', 'is overloaded', 'refuses', 'is away'])

sinkContract('http, json_array', async () => {
  const world = await jsonWorld('json_array')
  return harness({ world, received: () => world.api.kept, config: { maxRequestBytes: 5_000 }, faults: () => [] })
}, ['dies between reading and acknowledging'])

sinkContract('http, splunk_hec', async () => {
  const world = await splunkWorld(false)
  return harness({ world, received: () => world.api.events, config: { maxRequestBytes: 10_000 }, faults: () => [] })
}, ['dies between reading and acknowledging'])

sinkContract('http, splunk_hec with acknowledgement', async () => {
  const world = await splunkWorld(true)
  const { api } = world
  return harness({
    world, received: () => api.events, config: { maxRequestBytes: 10_000, gzip: true },
    faults: (clock) => [{
      name: 'acknowledges half', effect: 'hangs',
      begin: () => {
        api.isIndexed = (id) => id % 2 === 0
        clock.speed = HURRY
      },
      heal: () => {
        api.isIndexed = () => true
        clock.speed = 1
      },
    }],
  })
}, ['dies between reading and acknowledging', 'acknowledges half'])

sinkContract('http, elastic_bulk', async () => {
  const world = await elasticWorld()
  const { api } = world
  return harness({
    world, received: () => api.documents, config: { maxRequestBytes: 10_000 },
    faults: () => [{
      name: 'has no room for some events', effect: 'fails',
      begin: () => void (api.mood = (document) => (document.includes('0"') ? 429 : 201)),
      heal: () => void (api.mood = null),
    }],
  })
}, ['dies between reading and acknowledging', 'has no room for some events'])
