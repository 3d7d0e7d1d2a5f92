import { behaviours } from '../../../src/simulator/devo-behaviours.ts'
import type { DevoBehaviour } from '../../../src/simulator/devo-behaviours.ts'
import type { DevoConfig } from '../../../src/sinks/devo/config.ts'
import { sinkContract, type DestinationFault, type SinkHarness } from '../../contract/sink-suite.ts'
import { jsonOf, makeWorld, type World } from './world.ts'

function fault({ receiver }: World, name: string, behaviour: DevoBehaviour, effect: DestinationFault['effect'] = 'fails'): DestinationFault {
  return {
    name, effect,
    begin: () => void (receiver.behaviour = behaviour),
    heal: () => {
      receiver.behaviour = behaviours.healthy()
      // What a fault has left hanging would hang on.
      receiver.disconnectAll('reset')
    },
  }
}

function harnessOf(maxVersion: 'TLSv1.2' | 'TLSv1.3', confirm: DevoConfig['confirm']): () => Promise<SinkHarness> {
  return async () => {
    const world = await makeWorld({ maxVersion })
    const { receiver } = world
    return {
      createSink: () => world.sink({ confirm }),
      received: () => receiver.tally.lines.map(jsonOf),
      connectionsWithData: () => receiver.connections.withData,
      openConnections: () => receiver.openConnections,
      faults: [
        fault(world, 'resets', behaviours.reset({ lines: 5 })),
        ...(confirm === 'drain' ? [
          fault(world, 'stalls', behaviours.stall(5), 'hangs'),
          fault(world, 'dies between reading and acknowledging', behaviours.killed()),
        ] : []),
        fault(world, 'refuses', behaviours.refuseClient()),
        {
          name: 'is away', effect: 'fails',
          begin: () => receiver.refuseConnections(),
          heal: async () => receiver.acceptConnections(),
        },
      ],
      close: async () => world.close(),
    }
  }
}

for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
  sinkContract(`devo, ${version}, drain`, harnessOf(version, 'drain'), ['resets', 'stalls', 'dies between reading and acknowledging', 'refuses', 'is away'])
}
// A destination that takes everything, keeps nothing and says nothing is what settle cannot see; it is for endpoints that never end.
sinkContract('devo, TLSv1.3, settle', harnessOf('TLSv1.3', 'settle'), ['resets', 'refuses', 'is away'])
