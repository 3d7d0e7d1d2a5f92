import { createHash } from 'node:crypto'
import {
  AbortMultipartUploadCommand, CompleteMultipartUploadCommand, CreateMultipartUploadCommand, PutObjectCommand, S3Client, UploadPartCommand,
} from '@aws-sdk/client-s3'
import { openClient, type Client } from '../../https/client.ts'
import type { Clock } from '../../pipeline/clock.ts'
import { RetryableError } from '../../pipeline/errors.ts'
import { secretsOf, type S3Config } from './config.ts'
import { explainS3Error } from './errors.ts'
import { requestHandler, type CallOptions } from './handler.ts'

const LARGEST_ANSWER_BYTES = 1024 * 1024
const USER_AGENT = 'devo-proofpoint-tap-collector'

/** An object in several parts that is begun and not yet there. */
export interface Upload {
  readonly key: string
  readonly id: string
}

/** The calls of one shipment, one after the other over a connection of its own that is made with the first call. Whoever opens it owes a `close`. All reject with a RetryableError. */
export interface Connection {
  /** Resolves when the object is stored. */
  put(key: string, body: Uint8Array, signal: AbortSignal): Promise<void>
  begin(key: string, signal: AbortSignal): Promise<Upload>
  /** Resolves with the part's ETag. `number` begins at 1. */
  putPart(upload: Upload, number: number, body: Uint8Array, signal: AbortSignal): Promise<string>
  /** Resolves when the object is stored. */
  complete(upload: Upload, etags: readonly string[], signal: AbortSignal): Promise<void>
  /** Takes the parts away. One that is gone already is taken away. */
  abort(upload: Upload): Promise<'taken away' | 'forbidden'>
  close(): Promise<void>
}

/**
 * The bucket, through Amazon's SDK: it knows where credentials may come from, how requests are signed, and where a bucket answers. It retries nothing,
 * for the pipeline does. Every body is sent with its MD5, which every kind of S3 checks.
 */
export class Bucket {
  readonly #config: S3Config
  readonly #clock: Clock
  readonly #client: S3Client
  readonly #secrets: readonly string[]

  constructor(config: S3Config, clock: Clock, closing: AbortSignal) {
    const { region, endpoint, credentials } = config
    this.#config = config
    this.#clock = clock
    this.#secrets = secretsOf(config)
    this.#client = new S3Client({
      region,
      ...(endpoint !== null && { endpoint, forcePathStyle: true }),
      ...(credentials !== null && {
        credentials: {
          accessKeyId: credentials.accessKeyId,
          secretAccessKey: credentials.secretAccessKey,
          ...(credentials.sessionToken !== null && { sessionToken: credentials.sessionToken }),
        },
      }),
      maxAttempts: 1,
      // Not every S3 knows the newer checksums.
      requestChecksumCalculation: 'WHEN_REQUIRED',
      responseChecksumValidation: 'WHEN_REQUIRED',
      expectContinueHeader: false,
      customUserAgent: USER_AGENT,
      requestHandler: requestHandler(async () => this.#open(closing)),
    })
  }

  /** `late` gives up everything, also what cleans up. */
  connect(late: AbortSignal): Connection {
    let opening: Promise<Client> | null = null
    const { bucket: Bucket, gzip } = this.#config
    const type = { ContentType: gzip ? 'application/gzip' : 'application/x-ndjson' }
    const call = async <T>(signal: AbortSignal, send: (options: CallOptions) => Promise<T>): Promise<T> => {
      signal.throwIfAborted()
      try {
        return await send({ client: await (opening ??= this.#open(late)), abortSignal: signal })
      } catch (error) {
        signal.throwIfAborted()
        throw explainS3Error(error, Bucket, this.#secrets)
      }
    }
    return {
      put: async (Key, Body, signal) => {
        const { ETag } = await call(signal, async (options) => this.#client.send(new PutObjectCommand({ Bucket, Key, Body, ...sized(Body), ...type }), options))
        given(ETag, 'an ETag')
      },
      begin: async (key, signal) => {
        const { UploadId } = await call(signal, async (options) => this.#client.send(new CreateMultipartUploadCommand({ Bucket, Key: key, ...type }), options))
        return { key, id: given(UploadId, 'an upload id') }
      },
      putPart: async ({ key: Key, id: UploadId }, PartNumber, Body, signal) => {
        const command = new UploadPartCommand({ Bucket, Key, UploadId, PartNumber, Body, ...sized(Body) })
        const { ETag } = await call(signal, async (options) => this.#client.send(command, options))
        return given(ETag, 'an ETag')
      },
      complete: async ({ key: Key, id: UploadId }, etags, signal) => {
        const Parts = etags.map((ETag, index) => ({ ETag, PartNumber: index + 1 }))
        const command = new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload: { Parts } })
        const { ETag } = await call(signal, async (options) => this.#client.send(command, options))
        given(ETag, 'an ETag')
      },
      abort: async ({ key: Key, id: UploadId }) =>
        call(late, async (options) => {
          try {
            await this.#client.send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId }), options)
            return 'taken away'
          } catch (error) {
            const code = error instanceof Error ? error.name : ''
            if (code === 'NoSuchUpload') return 'taken away'
            if (code === 'AccessDenied') return 'forbidden'
            throw error
          }
        }),
      close: async () => (await opening?.catch(() => null))?.close(),
    }
  }

  close(): void {
    this.#client.destroy()
  }

  async #open(signal: AbortSignal): Promise<Client> {
    return openClient(this.#config, { clock: this.#clock, signal, largestAnswerBytes: LARGEST_ANSWER_BYTES, addressKey: 'endpoint' })
  }
}

function sized(body: Uint8Array) {
  return { ContentLength: body.length, ContentMD5: createHash('md5').update(body).digest('base64') }
}

function given(value: string | undefined, what: string): string {
  if (value === undefined || value === '') throw new RetryableError(`the answer lacks ${what}, so that it is not believed: check endpoint, for S3 always gives one`, { code: 'S3AnswerUnexpected' })
  return value
}
