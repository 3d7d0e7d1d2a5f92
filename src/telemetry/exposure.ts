import { BlockList, isIP } from 'node:net'
import { networkInterfaces } from 'node:os'
import type { Logger } from 'pino'

/**
 * Says once that somebody from beyond this machine's own networks has come to a page that asks for no token. It is for an image, whose page listens on all
 * addresses because nobody could reach it otherwise: who does reach it, the publishing of the port decides, and only the address of a reader tells how that
 * was decided. The container's host, its neighbours and a node's probes are within.
 */
export class Exposure {
  readonly #log: Logger
  #isTold = false

  constructor(log: Logger) {
    this.#log = log
  }

  /** To be given the address of everyone who asks; undefined where he has gone already. */
  heed(address: string | undefined): void {
    if (this.#isTold || address === undefined || !isFromBeyond(address)) return
    this.#isTold = true
    this.#log.warn(
      { code: 'HttpWithoutToken', address },
      `${address}, from beyond this machine's networks, reaches the status and the metrics, with names of hosts and errors: set globals.http.token, or publish the port on 127.0.0.1 alone`,
    )
  }
}

/** Whether an address lies in none of the networks that this machine is in now. What is no address lies in none. */
export function isFromBeyond(address: string): boolean {
  const plain = address.replace(/^::ffff:(?=[\d.]+$)/i, '').replace(/%.*$/, '')
  const networks = new BlockList()
  for (const { cidr } of Object.values(networkInterfaces()).flatMap((all) => all ?? [])) {
    const [network = '', bits = ''] = cidr?.split('/') ?? []
    if (isIP(network) !== 0) networks.addSubnet(network, Number(bits), familyOf(network))
  }
  return isIP(plain) === 0 || !networks.check(plain, familyOf(plain))
}

function familyOf(address: string): 'ipv4' | 'ipv6' {
  return isIP(address) === 6 ? 'ipv6' : 'ipv4'
}
