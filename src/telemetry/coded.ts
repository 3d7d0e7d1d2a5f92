import type { LogFn } from 'pino'
import { CODES, type CodeName } from '../pipeline/codes.ts'
import { withCode } from '../pipeline/errors.ts'

/** Pino's hook: a line whose fields have a `code` begins with its label, on a terminal, in JSON, and wherever else lines go. */
export function codedLine(this: object, args: Parameters<LogFn>, method: LogFn): void {
  const [fields, msg]: readonly unknown[] = args
  if (typeof fields === 'object' && fields !== null && 'code' in fields && isCode(fields.code)) {
    const { code, ...rest } = fields
    method.call(this, rest, withCode(String(msg), { code, err: 'err' in rest ? rest.err : undefined }))
  } else method.apply(this, args)
}

function isCode(value: unknown): value is CodeName {
  return typeof value === 'string' && Object.hasOwn(CODES, value)
}
