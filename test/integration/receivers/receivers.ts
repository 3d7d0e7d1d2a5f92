import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Authority, Issued } from '../../../src/simulator/certificates.ts'
import { type Backend, livingBackend } from './backends.ts'
import { type Place, type Program, type Running, makePlace, modulePath, startProgram } from './programs.ts'

/** A receiver that nobody here wrote, running, with a required client certificate. */
export interface Receiver extends Running {
  /** The lines that it has received, as they came. */
  readonly lines: () => Promise<readonly string[]>
}

export interface Kind {
  readonly name: string
  readonly program: Program
  /** Whether it ends a connection with a close_notify. */
  readonly sendsCloseNotify: boolean
}

/** A receiver by itself. */
export interface Syslog extends Kind {
  readonly start: (authority: Authority, certificate: Issued) => Promise<Receiver>
}

/** A TLS terminator in front of a plain TCP backend. */
export interface Terminator extends Kind {
  readonly startBefore: (backend: Backend, authority: Authority, certificate: Issued) => Promise<Receiver>
}

const HOST = '127.0.0.1'

const syslogs: readonly Syslog[] = [
  // Its GnuTLS driver says goodbye only as a client.
  rsyslog('gtls', 'GnuTLS', false),
  rsyslog('ossl', 'OpenSSL', true),
  {
    name: 'syslog-ng',
    program: 'syslog-ng',
    sendsCloseNotify: true,
    start: async (authority, certificate) => {
      const place = await makePlace(authority, certificate)
      const running = await startProgram('syslog-ng', place, `@version: 3.38
source s { network(ip("${HOST}") port(${place.port}) transport("tls") flags(no-parse) log-msg-size(1048576)
  tls(key-file("${place.key}") cert-file("${place.cert}") ca-file("${place.ca}") peer-verify(required-trusted))); };
destination d { file("${outputOf(place)}" template("\${MESSAGE}\\n") flush-lines(1)); };
log { source(s); destination(d); flags(flow-control); };
`, (config) => ['--foreground', '--no-caps', '--stderr', '--cfgfile', config, '--module-path', modulePath('syslog-ng'),
        '--persist-file', join(place.folder, 'persist'), '--pidfile', join(place.folder, 'pid'), '--control', join(place.folder, 'control')])
      return { ...running, lines: async () => linesOf(outputOf(place)) }
    },
  },
]

export const terminators: readonly Terminator[] = [
  {
    name: 'nginx',
    program: 'nginx',
    sendsCloseNotify: false,
    startBefore: async (backend, authority, certificate) => {
      const place = await makePlace(authority, certificate)
      // One process, so that a kill reaches it.
      const running = await startProgram('nginx', place, `load_module ${modulePath('nginx/modules')}/ngx_stream_module.so;
daemon off; master_process off; pid ${place.folder}/pid; error_log stderr info;
events { worker_connections 64; }
stream { server {
  listen ${HOST}:${place.port} ssl; ssl_certificate ${place.cert}; ssl_certificate_key ${place.key}; ssl_protocols TLSv1.2 TLSv1.3;
  ssl_client_certificate ${place.ca}; ssl_verify_client on; proxy_pass ${HOST}:${backend.port}; proxy_connect_timeout 3s;
} }
`, (config) => ['-e', 'stderr', '-p', place.folder, '-c', config])
      return { ...running, lines: async () => backend.lines() }
    },
  },
  {
    name: 'HAProxy',
    program: 'haproxy',
    sendsCloseNotify: true,
    startBefore: async (backend, authority, certificate) => {
      const place = await makePlace(authority, certificate)
      const running = await startProgram('haproxy', place, `defaults
  mode tcp
  timeout connect 5s
  timeout client 30s
  timeout server 30s
frontend in
  bind ${HOST}:${place.port} ssl crt ${place.pair} ca-file ${place.ca} verify required ssl-min-ver TLSv1.2
  default_backend out
backend out
  server one ${HOST}:${backend.port}
`, (config) => ['-db', '-f', config])
      return { ...running, lines: async () => backend.lines() }
    },
  },
  {
    name: 'stunnel',
    program: 'stunnel',
    sendsCloseNotify: true,
    startBefore: async (backend, authority, certificate) => {
      const place = await makePlace(authority, certificate)
      const running = await startProgram('stunnel', place, `foreground = yes
pid =
syslog = no
[in]
accept = ${HOST}:${place.port}
connect = ${HOST}:${backend.port}
cert = ${place.cert}
key = ${place.key}
CAfile = ${place.ca}
verifyChain = yes
requireCert = yes
sslVersionMin = TLSv1.2
`, (config) => [config])
      return { ...running, lines: async () => backend.lines() }
    },
  },
]

/** All of them in working order. */
export const receivers: readonly Syslog[] = [
  ...syslogs,
  ...terminators.map(({ startBefore, ...kind }) => ({
    ...kind,
    start: async (authority: Authority, certificate: Issued) => startBefore(await livingBackend(), authority, certificate),
  })),
]

function rsyslog(driver: 'gtls' | 'ossl', name: string, sendsCloseNotify: boolean): Syslog {
  return {
    name: `rsyslog (${name})`,
    program: 'rsyslogd',
    sendsCloseNotify,
    start: async (authority, certificate) => {
      const place = await makePlace(authority, certificate)
      const running = await startProgram('rsyslogd', place, `global(workDirectory="${place.folder}" maxMessageSize="1m" parser.escapeControlCharactersOnReceive="off"
  defaultNetstreamDriver="${driver}" defaultNetstreamDriverCAFile="${place.ca}" defaultNetstreamDriverCertFile="${place.cert}" defaultNetstreamDriverKeyFile="${place.key}")
module(load="imtcp" streamDriver.name="${driver}" streamDriver.mode="1" streamDriver.authMode="x509/certvalid")
input(type="imtcp" address="${HOST}" port="${place.port}")
template(name="raw" type="string" string="%rawmsg%\\n")
action(type="omfile" file="${outputOf(place)}" template="raw" flushOnTXEnd="on")
`, (config) => ['-n', '-f', config, '-i', join(place.folder, 'pid'), '-M', modulePath('rsyslog')])
      return { ...running, lines: async () => linesOf(outputOf(place)) }
    },
  }
}

function outputOf(place: Place): string {
  return join(place.folder, 'received')
}

/** Whole lines only. */
async function linesOf(path: string): Promise<string[]> {
  if (!existsSync(path)) return []
  return (await readFile(path, 'utf8')).split('\n').slice(0, -1)
}
