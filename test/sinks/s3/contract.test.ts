import { afterAll, beforeAll } from 'vitest'
import { sinkContract, type DestinationFault, type SinkHarness } from '../../contract/sink-suite.ts'
import { describeS3, startS3, type S3Server } from '../../support/s3.ts'
import { HurriedClock } from '../hurried-clock.ts'
import { errorDocument, type Trouble } from './gateway.ts'
import { makeWorld, type World } from './world.ts'

/** 30 s pass in one and a half. */
const HURRY = 20

describeS3('s3', () => {
  let server: S3Server
  beforeAll(async () => {
    server = await startS3()
  })
  afterAll(async () => server.dispose())

  const harness = (world: World, gzip: boolean, clock: HurriedClock, faults: readonly DestinationFault[]): SinkHarness => ({
    createSink: () => world.sink({ gzip }, { clock }),
    received: world.lines,
    connectionsWithData: () => world.gateway.forObjects,
    openConnections: () => world.gateway.openConnections,
    faults,
    close: world.close,
  })

  function trouble({ gateway }: World, name: string, what: Trouble, clock?: HurriedClock): DestinationFault {
    return {
      name,
      effect: clock === undefined ? 'fails' : 'hangs',
      begin: () => {
        gateway.trouble = what
        if (clock !== undefined) clock.speed = HURRY
      },
      heal: () => {
        gateway.trouble = null
        if (clock !== undefined) clock.speed = 1
        // What a fault has left hanging would hang on.
        gateway.disconnectAll()
      },
    }
  }

  sinkContract('s3', async () => {
    const world = await makeWorld(server)
    const clock = new HurriedClock()
    return harness(world, false, clock, [
      trouble(world, 'dies between storing and acknowledging', 'dies'),
      trouble(world, 'stalls', 'stalls', clock),
      trouble(world, 'is overloaded', errorDocument(503, 'SlowDown')),
      trouble(world, 'refuses', errorDocument(403, 'AccessDenied')),
      { name: 'is away', effect: 'fails', begin: async () => world.gateway.stop(), heal: async () => world.gateway.start() },
    ])
  }, ['dies between storing and acknowledging', 'stalls', 'is overloaded', 'refuses', 'is away'])

  sinkContract('s3, gzip', async () => {
    const world = await makeWorld(server)
    const clock = new HurriedClock()
    return harness(world, true, clock, [trouble(world, 'spoils what it gets', 'spoils'), trouble(world, 'stalls', 'stalls', clock)])
  }, ['spoils what it gets', 'stalls'])
})
