import { parsePointer } from '../transforms/pointer.ts'
import type { Context } from './component.ts'
import { nearest } from './nearest.ts'

/** The fields of clicks and messages as the API sends them today; others pass, and are only named here. */
const KNOWN = [
  'url', 'classification', 'clickTime', 'threatTime', 'userAgent', 'campaignId', 'id', 'clickIP', 'sender', 'recipient', 'senderIP', 'GUID', 'threatID',
  'threatURL', 'threatStatus', 'messageID', 'spamScore', 'phishScore', 'malwareScore', 'messageSize', 'impostorScore', 'messageTime', 'QID', 'subject',
  'headerFrom', 'headerReplyTo', 'xmailer', 'quarantineFolder', 'quarantineRule', 'cluster', 'fromAddress', 'replyToAddress', 'toAddresses', 'ccAddresses',
  'policyRoutes', 'modulesRun', 'completelyRewritten', 'messageParts', 'threatsInfoMap',
]

/** What is wrong with a pointer to a field, or null. */
export function checkField(text: string): string | null {
  if (parsePointer(text) !== null) return null
  if (text.startsWith('/')) return 'must be a JSON pointer: ~ in a name is written ~0, and / is written ~1'
  return `must be a JSON pointer, which begins with a slash: /${text.replace(/^\$?\.?/, '').replaceAll('.', '/')}`
}

/** A field with a typing error would be neither filtered nor masked, and nobody would know. */
export function warnOfField(pointer: string, path: string, { report }: Context, shown: string | undefined): void {
  const [first] = parsePointer(pointer) ?? []
  if (typeof first !== 'string' || KNOWN.includes(first)) return
  const near = nearest(first, KNOWN)
  const advice = near === null ? '' : `; did you mean /${near}?`
  report.warning(path, `is no field that events are known to have, and upper and lower case count${advice}`, shown)
}
