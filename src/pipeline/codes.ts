/**
 * Every kind of error and warning that a user can meet, by its number. `docs/errors.md` has a row for each: what it means, whether anything is lost or
 * late, what to do. A number is never given to something else, for alerts are written against it; the first five areas are those of the old collector.
 */
export const CODES = {
  // 0 to 99: configuration, command line
  UsageError: 1,
  ConfigurationInvalid: 2,
  ConfigurationUnreadable: 3,
  ConfigurationWarning: 4,
  PlugInUnusable: 5,
  WeakTls: 6,
  NotConfirmed: 7,

  // 100 to 199: the process
  NodeTooOld: 100,
  ContainerUser: 101,
  ContainerRunsAsRoot: 102,
  UnexpectedError: 103,
  OutputBug: 104,
  MetricsBug: 105,
  HealthPageOff: 106,
  StopStuck: 107,
  StopUnproven: 108,
  OnceNotDone: 109,
  InputsTaken: 110,
  StandingBy: 111,
  LogLinesMissing: 112,
  InternalEventsWait: 113,
  HttpWithoutToken: 114,

  // 200 to 299: before a pull
  RequestPeriodStretched: 200,
  QuotaUsedUp: 201,
  QuotaLogFailed: 202,
  FetchingWaits: 203,
  InputsWait: 204,

  // 300 to 399: pulls
  WindowCutShort: 300,
  InvalidUtf8: 301,
  SharedHole: 302,
  Hole: 303,
  Gap: 304,
  EventUndeliverable: 305,
  ThreatIdInvalid: 306,
  ThreatUnknown: 307,
  ServiceMissedEvents: 308,

  // 400 to 499: what the TAP API answers, by its status where it has one
  ApiRequestRefused: 400,
  ApiLoginRefused: 401,
  ApiNotEntitled: 403,
  ApiNotFound: 404,
  ApiThrottled: 429,
  ApiUnreachable: 450,
  ApiBroken: 451,
  ApiAnswerMalformed: 452,
  ApiAnswerUnexpected: 453,
  ApiWindowRefused: 454,
  ApiAuthoritiesUnreadable: 455,

  // 500 to 599: the buffer, above all the embedded one
  BufferUnavailable: 500,
  BufferFull: 501,
  DiskFull: 502,
  DiskReadOnly: 503,
  DiskForbidden: 504,
  DiskPathMissing: 505,
  DiskPathWrong: 506,
  DiskFailed: 507,
  BufferLocked: 508,
  BufferDamaged: 509,
  BufferForeign: 510,
  BufferNewer: 511,
  BufferMissing: 512,
  BufferReplaced: 513,
  BufferNotLocal: 514,
  FolderInUse: 515,
  RemovingFailed: 516,
  StateUnreadable: 517,

  // 600 to 699: brokers
  KafkaUnavailable: 600,
  KafkaLoginRefused: 601,
  KafkaRightMissing: 602,
  KafkaReplicationFactor: 603,
  KafkaRecordTooLarge: 604,
  KafkaSettingRefused: 605,
  KafkaTopicsMissing: 606,
  KafkaTopicUnsuitable: 607,
  KafkaTooOld: 608,
  KafkaFenced: 609,
  KafkaGroupLost: 610,
  KafkaOffsetGone: 611,
  KafkaAnswerUnreadable: 612,
  KafkaRecordsDamaged: 613,
  KafkaFormatUnsupported: 614,
  KafkaStateLost: 615,
  KafkaStateForeign: 616,
  KafkaStateNewer: 617,
  KafkaStateReread: 618,
  KafkaTopicRemade: 619,
  KafkaRetentionDiffers: 620,
  KafkaOffsetsTooShort: 621,
  KafkaOffsetsForgotten: 622,
  KafkaEventsLost: 623,
  KafkaRecordForeign: 624,
  KafkaTlsFailed: 625,
  KafkaTopicPrefixChanged: 626,

  // 700 to 799: delivery, whatever the output
  DeliveryFailed: 700,
  OutputUnreachable: 701,
  OutputWaitsForBuffer: 702,
  PositionNotSaved: 703,
  EventRefused: 704,
  DeadLettersFull: 705,
  OutputOff: 706,
  OutputMissedEvents: 707,
  PlugInFailed: 708,
  PlugInStalled: 709,
  PlugInNotClosed: 710,
  CertificateUnusable: 711,

  // 800 to 899: outputs whose connection is the proof (Devo, relay, syslog)
  PeerUnreachable: 800,
  PeerReset: 801,
  ClientCertificateRefused: 802,
  PeerNotTrusted: 803,
  TlsFailed: 804,
  TlsHandshakeEnded: 805,
  PeerEndedFirst: 806,
  PeerDoesNotEnd: 807,
  PeerEndedLate: 808,
  PeerEndChanged: 809,
  PeerStalled: 810,
  PeerAnswered: 811,

  // 900 to 999: output http
  HttpFailed: 900,
  HttpLoginRefused: 901,
  HttpForbidden: 902,
  HttpNotFound: 903,
  HttpRedirected: 904,
  HttpBusy: 905,
  HttpServerError: 906,
  HttpAnswerUnexpected: 907,
  HttpRequestTooLarge: 908,
  HttpRefusesAll: 909,
  HttpNotAcknowledged: 910,
  HttpEventNotStored: 911,
  HttpRequestRefused: 912,

  // 1000 to 1099: output s3
  S3Failed: 1000,
  S3BucketMissing: 1001,
  S3LoginRefused: 1002,
  S3Forbidden: 1003,
  S3ClockWrong: 1004,
  S3RegionWrong: 1005,
  S3UploadGone: 1006,
  S3Busy: 1007,
  S3NoCredentials: 1008,
  S3AnswerUnexpected: 1009,
  S3UnfinishedUploads: 1010,

  // 1100 to 1199: outputs file, console, kafka
  FileFailed: 1100,
  FileDiskFull: 1101,
  FileReadOnly: 1102,
  FileForbidden: 1103,
  FilePathWrong: 1104,
  FileForeign: 1105,
  FileShared: 1106,
  ConsoleClosed: 1120,
  KafkaOutputTopicMissing: 1140,

  // 1200 to 1299: the commands dead-letters, replay, reset
  DeadLettersUnreachable: 1200,
  RetryUnderWay: 1201,
  RetryTakenOver: 1202,
  RetryLeftOver: 1203,
  RetryOutputUnreachable: 1204,
  ReplayUnreachable: 1210,
  ReplayInterrupted: 1211,
  ReplayTakenOver: 1212,
  ReplayMissedEvents: 1213,
  ReplayBeyondNow: 1214,
  ReplayBeyondBuffer: 1215,
  ReplayPlaceNotRemoved: 1216,
  ReplayPlaceDamaged: 1217,
  ResetFailed: 1230,

  // 1300 to 1399: from one buffer to the other
  MoveFailed: 1300,
  MovePending: 1301,
  MovedToKafka: 1302,
  EventsAreInKafka: 1303,
  MovedToEmbedded: 1304,
  MoveUnderWay: 1305,
  TopicPrefixInUse: 1306,
  MoveNeedsPartitions: 1307,
  MoveTargetTaken: 1308,
  MoveDoesNotFit: 1309,
  MoveSourceEmpty: 1310,
  MoveSourceInUse: 1311,
  MoveSourceWrong: 1312,
  MoveOutputForgotten: 1313,
  MovePlaceNotKept: 1314,
  MovePlaceDamaged: 1315,
  MoveHalfUndone: 1316,
  MoveWaits: 1317,
} as const

export type CodeName = keyof typeof CODES

/** What a line begins with: `ApiLoginRefused [CODE:0401]`. */
export function label(code: CodeName): string {
  return `${code} [CODE:${String(CODES[code]).padStart(4, '0')}]`
}

declare module 'pino' {
  interface LogFnFields {
    /** What the line is about, of which it shows the `label`; the code of its `err` counts more. Every line from warn on owes one. */
    readonly code?: CodeName
  }
}
