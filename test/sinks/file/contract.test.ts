import { existsSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '../../../src/pipeline/clock.ts'
import type { FileConfig } from '../../../src/sinks/file/config.ts'
import { createFileSink } from '../../../src/sinks/file/sink.ts'
import { sinkContract, type SinkHarness } from '../../contract/sink-suite.ts'
import { linesIn } from './support.ts'

function harnessOf(name: string, config: Partial<FileConfig>): () => Promise<SinkHarness> {
  return async () => {
    const root = mkdtempSync(join(tmpdir(), 'tap-file-'))
    const [dir, away] = [join(root, 'events'), join(root, 'away')]
    return {
      createSink: () => createFileSink({ path: join(dir, name), rotateBytes: null, gzip: false, ...config }, { clock: systemClock }),
      received: () => linesIn(root),
      faults: [{
        name: 'is a file where a folder should be', effect: 'fails',
        begin: () => {
          if (existsSync(dir)) renameSync(dir, away)
          writeFileSync(dir, '')
        },
        heal: () => {
          rmSync(dir)
          if (existsSync(away)) renameSync(away, dir)
        },
      }],
      close: async () => rmSync(root, { recursive: true }),
    }
  }
}

const FAULTS = ['is a file where a folder should be']
sinkContract('file', harnessOf('tap.ndjson', {}), FAULTS)
sinkContract('file, gzip and rotation', harnessOf('%Y/tap-%m-%d.ndjson.gz', { gzip: true, rotateBytes: 10_000 }), FAULTS)
