import type { TapArray } from './tap-api.ts'
import type { Random } from './tap-random.ts'

/** A tree for JSON.stringify. */
export type TapObject = Record<string, unknown>

const DAY_MS = 86_400_000
const WORDS = ['invoice', 'payment', 'urgent', 'account', 'delivery', 'review', 'meeting', 'password', 'contract', 'refund'] as const
const CLASSIFICATIONS = ['malware', 'phish', 'spam', 'impostor', 'toad', 'PHISH', 'MALWARE'] as const
const AGENTS = [
  'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36',
  'Mozilla/5.0 (Macintosh; Intel Mac OS X 14_5) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15',
] as const

/** A click or message as the live API shows it: names, types and nulls of the fields as they were seen, about 1 and 2 KB long. */
export function makeObject(service: TapArray, createdAt: number, random: Random): TapObject {
  return service === 'clicksBlocked' || service === 'clicksPermitted' ? makeClick(service, createdAt, random) : makeMessage(service, createdAt, random)
}

export function uuid(random: Random): string {
  const digits = random.hex(32)
  return `${digits.slice(0, 8)}-${digits.slice(8, 12)}-4${digits.slice(13, 16)}-a${digits.slice(17, 20)}-${digits.slice(20)}`
}

export function address(random: Random): string {
  return `${random.pick(WORDS)}.${random.hex(4)}@${random.pick(['example.com', 'example.net', 'mail.example.org'])}`
}

function time(epochMs: number): string {
  return new Date(epochMs).toISOString()
}

/** From the documentation ranges of RFC 5737. */
function ip(random: Random): string {
  return `${random.pick(['192.0.2', '198.51.100', '203.0.113'])}.${random.below(256)}`
}

function makeClick(service: TapArray, createdAt: number, random: Random): TapObject {
  const threatId = random.hex(64)
  return {
    url: `https://${random.hex(12)}.example.com/${random.pick(WORDS)}?id=${random.hex(16)}`,
    classification: random.pick(CLASSIFICATIONS),
    clickTime: time(createdAt - random.below(600_000)),
    threatTime: time(createdAt - random.below(300_000)),
    userAgent: random.pick(AGENTS),
    ...(random.chance(0.5) && { campaignId: uuid(random) }),
    id: uuid(random),
    clickIP: ip(random),
    sender: random.chance(0.5) ? address(random) : `${random.hex(64)}@example.com`,
    recipient: address(random),
    senderIP: ip(random),
    GUID: `${random.hex(22)}-${service === 'clicksBlocked' ? 'b' : 'p'}`,
    threatID: threatId,
    threatURL: `https://threatinsight.proofpoint.com/${uuid(random)}/threat/email/${threatId}`,
    threatStatus: random.chance(0.9) ? 'active' : 'cleared',
    messageID: random.chance(0.1) ? '' : `<${random.hex(24)}@example.com>`,
  }
}

function makeMessage(service: TapArray, createdAt: number, random: Random): TapObject {
  const isBlocked = service === 'messagesBlocked'
  const sender = address(random)
  const recipient = address(random)
  return {
    spamScore: random.below(101),
    phishScore: random.below(101),
    threatsInfoMap: Array.from({ length: 1 + random.below(3) }, () => makeThreat(createdAt, random)),
    messageTime: time(createdAt - random.below(random.chance(0.05) ? 5 * DAY_MS : 1_800_000)),
    impostorScore: random.below(1_000) / 10,
    malwareScore: random.below(101),
    cluster: `example_hosted`,
    subject: random.chance(0.05) ? null : `${random.pick(WORDS)} ${random.pick(WORDS)} ${random.hex(6)}`,
    quarantineFolder: isBlocked ? 'Malware' : null,
    quarantineRule: isBlocked ? 'module.pdr.rule.malware' : null,
    policyRoutes: ['default_inbound', 'executives'],
    modulesRun: random.chance(0.05) ? null : ['av', 'spf', 'dkimv', 'dmarc', 'spam', 'sandbox', 'urldefense', 'pdr'],
    messageSize: 2_000 + random.below(500_000),
    headerFrom: `"${random.pick(WORDS)}" <${sender}>`,
    headerReplyTo: random.chance(0.3) ? sender : null,
    fromAddress: [sender],
    ccAddresses: random.chance(0.5) ? [] : null,
    replyToAddress: random.chance(0.5) ? [sender] : [],
    toAddresses: [recipient],
    xmailer: random.chance(0.3) ? 'Mailer 5.2' : null,
    messageParts: Array.from({ length: 1 + random.below(3) }, () => makePart(random)),
    completelyRewritten: random.chance(0.5),
    id: uuid(random),
    QID: random.chance(0.9) ? random.hex(14) : null,
    GUID: random.hex(32),
    sender: random.chance(0.05) ? '' : sender,
    recipient: [recipient],
    senderIP: ip(random),
    messageID: random.chance(0.05) ? '' : `<${random.hex(30)}@${random.hex(8)}.example.net>`,
  }
}

function makeThreat(createdAt: number, random: Random): TapObject {
  const threatId = random.hex(64)
  return {
    threatID: threatId,
    ...(random.chance(0.95) && { threatStatus: random.chance(0.9) ? 'active' : 'cleared' }),
    classification: random.pick(CLASSIFICATIONS),
    detectionType: 'NONE',
    threatUrl: `https://threatinsight.proofpoint.com/${uuid(random)}/threat/email/${threatId}`,
    threatTime: time(createdAt - random.below(300_000)),
    threat: `${random.hex(10)}.example.com/${random.pick(WORDS)}`,
    campaignID: random.chance(0.5) ? null : uuid(random),
    actors: random.chance(0.8) ? [] : [{ id: uuid(random), name: `TA${random.below(1_000)}`, type: 'CYBER_CRIME' }],
    threatType: random.pick(['URL', 'ATTACHMENT', 'MESSAGE_TEXT', 'url']),
  }
}

function makePart(random: Random): TapObject {
  return {
    disposition: random.pick(['inline', 'attached']),
    sha256: random.hex(64),
    md5: random.chance(0.2) ? null : random.hex(32),
    filename: `${random.pick(WORDS)}.${random.pick(['pdf', 'html', 'txt', 'docx'])}`,
    sandboxStatus: random.pick([null, 'CLEAN', 'THREAT', 'NOT_SUPPORTED', 'SOMETHING_NEW']),
    oContentType: 'text/plain',
    contentType: 'text/plain',
  }
}
