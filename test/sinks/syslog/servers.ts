import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Authority, Issued } from '../../../src/simulator/certificates.ts'
import { makePlace, modulePath, startProgram, type Place, type Program, type Running } from '../../integration/receivers/programs.ts'

export interface ServerOptions {
  /** Above what its own defaults allow. Default: as docs/outputs.md advises, for events of any size. */
  readonly limits?: 'advised' | 'its own'
}

/** A syslog server that nobody here wrote. What it keeps of a message is a line: `PRI|TIME|HOST|APP|PROCID|MSGID|SD|MSG`. */
export interface SyslogServer {
  readonly port: number
  readonly lines: () => readonly string[]
  running(): Running
  /** Again, on the same port and file. */
  restart(): Promise<void>
}

export interface ServerKind {
  readonly name: string
  readonly program: Program
  readonly tls: boolean
  readonly start: (authority: Authority, certificate: Issued, options?: ServerOptions) => Promise<SyslogServer>
}

const HOST = '127.0.0.1'
const FRAME_MAX = 10_000_000

export const RSYSLOG_TCP = rsyslog('tcp')
export const RSYSLOG_TLS = rsyslog('ossl')
export const SYSLOG_NG_TCP = syslogNg(false)
export const kinds: readonly ServerKind[] = [RSYSLOG_TCP, rsyslog('gtls'), RSYSLOG_TLS, SYSLOG_NG_TCP, syslogNg(true)]

function rsyslog(driver: 'tcp' | 'gtls' | 'ossl'): ServerKind {
  const tls = driver !== 'tcp'
  return {
    name: `rsyslog over ${tls ? `TLS (${driver})` : 'TCP'}`,
    program: 'rsyslogd',
    tls,
    start: async (authority, certificate, { limits = 'advised' } = {}) => {
      const place = await makePlace(authority, certificate)
      const advised = limits === 'advised'
      // Without a queue of its own a message is in the file before the next one is read.
      const config = `global(workDirectory="${place.folder}" ${advised ? 'maxMessageSize="9m"' : ''} parser.escapeControlCharactersOnReceive="off"
  ${tls ? `defaultNetstreamDriver="${driver}" defaultNetstreamDriverCAFile="${place.ca}" defaultNetstreamDriverCertFile="${place.cert}" defaultNetstreamDriverKeyFile="${place.key}"` : ''})
main_queue(queue.type="Direct")
module(load="imtcp" ${advised ? `maxFrameSize="${FRAME_MAX}"` : ''} ${tls ? `streamDriver.name="${driver}" streamDriver.mode="1" streamDriver.authMode="x509/certvalid"` : ''})
input(type="imtcp" address="${HOST}" port="${place.port}")
template(name="fields" type="string" string="%pri%|%timestamp:::date-rfc3339%|%hostname%|%app-name%|%procid%|%msgid%|%structured-data%|%msg%\\n")
action(type="omfile" file="${outputOf(place)}" template="fields" flushOnTXEnd="on")
`
      return server(place, async () => startProgram('rsyslogd', place, config, (path) => ['-n', '-f', path, '-i', join(place.folder, 'pid'), '-M', modulePath('rsyslog')]))
    },
  }
}

function syslogNg(tls: boolean): ServerKind {
  return {
    name: `syslog-ng over ${tls ? 'TLS' : 'TCP'}`,
    program: 'syslog-ng',
    tls,
    start: async (authority, certificate, { limits = 'advised' } = {}) => {
      const place = await makePlace(authority, certificate)
      const config = `@version: 3.38
options { keep-hostname(yes); frac-digits(3); ${limits === 'advised' ? `log-msg-size(${FRAME_MAX});` : ''} };
source s { syslog(ip("${HOST}") port(${place.port}) transport("${tls ? 'tls' : 'tcp'}")
  ${tls ? `tls(key-file("${place.key}") cert-file("${place.cert}") ca-file("${place.ca}") peer-verify(required-trusted))` : ''}); };
destination d { file("${outputOf(place)}" template("\${PRI}|\${S_ISODATE}|\${HOST}|\${PROGRAM}|\${PID}|\${MSGID}|\${SDATA}|\${MESSAGE}\\n") flush-lines(1)); };
log { source(s); destination(d); flags(flow-control); };
`
      return server(place, async () => startProgram('syslog-ng', place, config, (path) => [
        '--foreground', '--no-caps', '--stderr', '--cfgfile', path, '--module-path', modulePath('syslog-ng'),
        '--persist-file', join(place.folder, 'persist'), '--pidfile', join(place.folder, 'pid'), '--control', join(place.folder, 'control'),
      ]))
    },
  }
}

async function server(place: Place, start: () => Promise<Running>): Promise<SyslogServer> {
  let running = await start()
  return {
    port: place.port,
    lines: () => linesOf(outputOf(place)),
    running: () => running,
    restart: async () => {
      running = await start()
    },
  }
}

function outputOf(place: Place): string {
  return join(place.folder, 'received')
}

/** Whole lines only. */
function linesOf(path: string): string[] {
  return existsSync(path) ? readFileSync(path, 'utf8').split('\n').slice(0, -1) : []
}
