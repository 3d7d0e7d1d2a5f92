// Loaded into a process with --import and --expose-gc: on SIGUSR2 it says what is still held once the garbage is gone, itself apart.
import { setImmediate as turn } from 'node:timers/promises'

process.on('SIGUSR2', async () => {
  for (let times = 0; times < 5; times += 1) {
    globalThis.gc()
    await turn()
  }
  const held = { heap: process.memoryUsage().heapUsed, resources: process.getActiveResourcesInfo().filter((name) => name !== 'Immediate').sort() }
  process.stderr.write(`HELD ${JSON.stringify(held)}\n`)
})
