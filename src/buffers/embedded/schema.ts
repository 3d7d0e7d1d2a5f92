/** Marks the file as ours (`PRAGMA application_id`): the letters TAPB. */
export const APPLICATION_ID = 0x54415042

/** The version of `SCHEMA` below; migrations count up from here (migrations.ts). */
export const FIRST_VERSION = 1

/**
 * Times are epoch milliseconds. Counts of events are cumulative since the buffer began, so that a backlog is a difference and not a scan.
 * In `chunks` everything that a scan needs stands before the bytes, so that it lies on the row's first page.
 */
export const SCHEMA = `
CREATE TABLE log (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  appended_chunk INTEGER NOT NULL,
  appended_events INTEGER NOT NULL,
  removed_chunk INTEGER NOT NULL,
  removed_events INTEGER NOT NULL,
  max_size_in_bytes INTEGER NOT NULL
);
INSERT INTO log VALUES (1, 0, 0, 0, 0, 0);

CREATE TABLE chunks (
  chunk INTEGER PRIMARY KEY,
  input_id TEXT NOT NULL,
  service TEXT NOT NULL,
  pulled_at INTEGER NOT NULL,
  environment TEXT,
  window_from INTEGER NOT NULL,
  window_to INTEGER NOT NULL,
  events INTEGER NOT NULL,
  events_before INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  checksum INTEGER NOT NULL,
  fingerprints BLOB NOT NULL,
  lines TEXT NOT NULL
);

CREATE TABLE outputs (
  name TEXT PRIMARY KEY,
  chunk INTEGER NOT NULL,
  events INTEGER NOT NULL,
  open INTEGER NOT NULL,
  proven_at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE services (
  input_id TEXT NOT NULL,
  service TEXT NOT NULL,
  settled INTEGER NOT NULL,
  read_at INTEGER NOT NULL,
  start_time INTEGER,
  PRIMARY KEY (input_id, service)
) WITHOUT ROWID;

CREATE TABLE holes (
  input_id TEXT NOT NULL,
  service TEXT NOT NULL,
  window_from INTEGER NOT NULL,
  window_to INTEGER NOT NULL,
  since INTEGER NOT NULL,
  tried_at INTEGER NOT NULL,
  reason TEXT NOT NULL
);

CREATE TABLE gaps (
  input_id TEXT NOT NULL,
  service TEXT NOT NULL,
  window_from INTEGER NOT NULL,
  window_to INTEGER NOT NULL,
  recorded_at INTEGER NOT NULL,
  reason TEXT NOT NULL
);

CREATE TABLE seen (
  id INTEGER PRIMARY KEY,
  input_id TEXT NOT NULL,
  service TEXT NOT NULL,
  window_from INTEGER NOT NULL,
  window_to INTEGER NOT NULL,
  fingerprints BLOB NOT NULL
);
CREATE INDEX seen_by_window ON seen (input_id, service, window_from, window_to);

CREATE TABLE dead_letters (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  output TEXT,
  input_id TEXT NOT NULL,
  service TEXT NOT NULL,
  pulled_at INTEGER NOT NULL,
  environment TEXT,
  at INTEGER NOT NULL,
  reason TEXT NOT NULL,
  size INTEGER NOT NULL,
  fingerprint BLOB NOT NULL,
  event BLOB NOT NULL
);
CREATE INDEX dead_letters_by_output ON dead_letters (output);

CREATE TABLE requests (
  pool TEXT NOT NULL,
  minute INTEGER NOT NULL,
  requests INTEGER NOT NULL,
  PRIMARY KEY (pool, minute)
) WITHOUT ROWID;
`

/** Tables that stay small: they are checked whole at every start. `chunks` may hold gigabytes; its bytes carry a checksum instead. */
export const SMALL_TABLES = ['log', 'outputs', 'passed_over', 'services', 'holes', 'gaps', 'seen', 'requests'] as const
