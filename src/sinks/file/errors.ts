import type { CodeName } from '../../pipeline/codes.ts'
import { RetryableError } from '../../pipeline/errors.ts'

/** What an error of the file system means to whoever runs the collector. What is none comes back as it is. */
export function explainFileError(error: unknown, path: string): unknown {
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string' || error instanceof RetryableError) return error
  const [code, message] = meaning(error.code, path)
  return new RetryableError(message, { code, cause: error })
}

function meaning(code: string, path: string): readonly [CodeName, string] {
  switch (code) {
    case 'ENOSPC':
    case 'EDQUOT':
      return ['FileDiskFull', `the disk of ${path} is full; free some space there`]
    case 'EROFS':
      return ['FileReadOnly', `the disk of ${path} is read-only; make it writable`]
    case 'EACCES':
    case 'EPERM':
      return ['FileForbidden', `this user may not write ${path}; check owner and mode of the file and of the folders above it`]
    case 'ENOTDIR':
      return ['FilePathWrong', `a folder of ${path} is a file`]
    case 'EISDIR':
      return ['FilePathWrong', `${path} is a folder, and must be a file`]
    case 'ELOOP':
      return ['FilePathWrong', `${path} is a symbolic link, which is not followed; name the file itself (folders may be links)`]
    default:
      return ['FileFailed', `writing ${path} failed`]
  }
}

export function notRegularError(path: string): RetryableError {
  return new RetryableError(`${path} is no regular file`, { code: 'FilePathWrong' })
}

export function foreignError(path: string, gzip: boolean): RetryableError {
  const kind = gzip ? 'gzip members of this output' : 'lines of events'
  return new RetryableError(`${path} holds something else than ${kind}, and nothing is written behind it; move it away, or change the path of the output`, { code: 'FileForeign' })
}
