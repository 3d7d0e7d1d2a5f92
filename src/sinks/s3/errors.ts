import { S3ServiceException } from '@aws-sdk/client-s3'
import { retryAfter, said, type Headers } from '../../https/answers.ts'
import type { CodeName } from '../../pipeline/codes.ts'
import { isBug, RetryableError } from '../../pipeline/errors.ts'

const RETRY_AFTER_MAX_MS = 3_600_000
const LOGIN = /^(?:InvalidAccessKeyId|SignatureDoesNotMatch|InvalidToken|ExpiredToken|TokenRefreshRequired|InvalidSecurity|NotSignedUp|InvalidClientTokenId)$/
const REGION = /^(?:PermanentRedirect|TemporaryRedirect|AuthorizationHeaderMalformed|IllegalLocationConstraintException|301|307)$/
const BUSY = /^(?:SlowDown|ServiceUnavailable|RequestLimitExceeded|Throttling|ThrottlingException|TooManyRequests|503|429)$/

/** What a failed call means and what to do about it. Nothing that S3 answers is ever a verdict on an event. */
export function explainS3Error(error: unknown, bucket: string, secrets: readonly string[]): RetryableError {
  if (error instanceof RetryableError) return error
  if (!(error instanceof S3ServiceException)) {
    if (isBug(error)) throw error
    return explainOther(error, secrets)
  }
  const status = error.$metadata.httpStatusCode ?? 0
  const headers = (error.$response?.headers ?? {}) as Headers // the handler gives them as such
  const waitMs = retryAfter(headers)
  const options = waitMs === null ? {} : { retryAfterMs: Math.min(waitMs, RETRY_AFTER_MAX_MS) }
  const text = said(error.message, secrets)
  const what = `${status} ${error.name}${text === '' || text === error.name ? '' : `: ${text}`}`
  const [code, message] = meaning(error.name, status, bucket, what, headers)
  return new RetryableError(message, { ...options, code })
}

function meaning(code: string, status: number, bucket: string, what: string, headers: Headers): readonly [CodeName, string] {
  if (code === 'NoSuchBucket') return ['S3BucketMissing', `there is no bucket ${bucket} (${what}): create it, or check bucket, region and endpoint`]
  if (LOGIN.test(code)) return ['S3LoginRefused', `S3 refuses the login (${what}): check credentials`]
  if (code === 'AccessDenied' || (status === 403 && code !== 'RequestTimeTooSkewed'))
    return ['S3Forbidden', `S3 does not allow this in bucket ${bucket} (${what}): s3:PutObject and s3:AbortMultipartUpload are needed below prefix, and what the bucket's encryption needs`]
  if (code === 'RequestTimeTooSkewed') return ['S3ClockWrong', `the clock of this machine is too far from that of S3 (${what}): set it right (NTP)`]
  if (REGION.test(code)) {
    const region = headers['x-amz-bucket-region']
    return ['S3RegionWrong', `bucket ${bucket} is not in this region (${what}): check region${typeof region === 'string' ? `, which S3 says is ${said(region, [])}` : ''}`]
  }
  if (code === 'NoSuchUpload') return ['S3UploadGone', `an unfinished upload is gone (${what}): something else ends uploads in bucket ${bucket}, such as a lifecycle rule`]
  if (BUSY.test(code) || status === 503 || status === 429) return ['S3Busy', `S3 takes no more for now (${what})`]
  return ['S3Failed', `S3 answers ${what}`]
}

/** What the SDK itself says, above all where it finds no credentials, or what a service says that should give some. */
function explainOther(error: unknown, secrets: readonly string[]): RetryableError {
  const text = said(error instanceof Error ? error.message : String(error), secrets)
  const isService = error instanceof Error && '$fault' in error
  const isLogin = isService || (error instanceof Error && /Credentials|Token/.test(error.name))
  if (!isLogin) return new RetryableError(`the request to S3 failed: ${text}`, { code: 'S3Failed' })
  return new RetryableError(`no credentials for S3: give credentials, or check what the AWS chain looks at (${isService ? `${error.name}: ` : ''}${text})`, { code: 'S3NoCredentials' })
}
