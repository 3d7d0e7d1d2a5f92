/** Keys of the old collector that mean nothing here. By name, with advice where there is something to do, and by pattern. */
export interface OldKeys {
  readonly names?: Readonly<Record<string, string>>
  readonly patterns?: readonly RegExp[]
}

const IGNORED = 'is a key of the old collector that means nothing here and is ignored'

/**
 * The warning for an old key, or null where it is none. A name that differs from a known key by a slip only is a mistake to be corrected
 * and not an old key, so patterns do not count for it.
 */
export function oldKeyAdvice(old: OldKeys | undefined, key: string, isSlip: () => boolean): string | null {
  const names = old?.names ?? {}
  const advice = Object.hasOwn(names, key) ? names[key] : undefined
  if (advice !== undefined) return advice === '' ? IGNORED : `${IGNORED}; ${advice}`
  if (old?.patterns?.some((pattern) => pattern.test(key)) !== true) return null
  return isSlip() ? null : IGNORED
}

const PARTS = /^(?:module|submodule|autoconfig|autosetup|override)(?:_|$)/

export const OLD_FILE: OldKeys = {
  names: {
    global_overrides: 'what it held belongs under globals',
    collector_globals: '',
    loggers: '',
  },
}

export const OLD_GLOBALS: OldKeys = {
  names: {
    multiprocessing: '',
    balanced_output: '',
    generate_collector_details: '',
    generate_metrics: '',
    environment: 'environment belongs to an input',
    requests_limits: 'requests_limits belongs to an input',
  },
  patterns: [
    /^(?:queue|sender|devo_sender|syslog_sender|console_sender|relay_sender|requeue|max_consumers|input_process|output_process)(?:_|$)/,
    PARTS,
  ],
}

export const OLD_DEVO: OldKeys = {
  names: {
    concurrent_connections: 'shipments_in_flight of the output says how many connections are open at once',
    period_sender_stats_in_seconds: '',
    activate_final_queue: '',
    generate_metrics: '',
    generate_collector_details: '',
    threshold_for_using_gzip_in_transport_layer: '',
    compression_level: '',
    compression_buffer_in_bytes: '',
    max_size_in_messages: '',
    destination: '',
  },
  patterns: [/^(?:connecting|sending|sender|devo_sender|queue|requeue|compression|reconnecting)(?:_|$)/],
}

export const OLD_CONSOLE: OldKeys = { names: { destination: '', ...OLD_DEVO.names }, patterns: OLD_DEVO.patterns ?? [] }

export const OLD_OUTPUT: OldKeys = {
  names: { concurrent_connections: 'shipments_in_flight of the output says how many connections are open at once', balanced_output: '' },
  patterns: [/^(?:queue|sender|devo_sender|requeue)(?:_|$)/, PARTS],
}

export const OLD_INPUT: OldKeys = {
  names: {
    persistence: 'the state of all inputs is in the folder that globals.persistence names',
    parameters: '',
    predefined_service: '',
    custom_service: '',
    override_base_url: 'the address of the API is base_url of the input',
    override_api_base_url: 'the address of the API is base_url of the input',
    override_url_base: 'the address of the API is base_url of the input',
    reset_persistence: 'a changed start_time_in_utc_format, or the command reset, starts a service anew',
    reset_persistence_auth: 'a changed start_time_in_utc_format, or the command reset, starts a service anew',
  },
  patterns: [PARTS, /^(?:requeue|queue|sender|input_process|execution_period|pull_retries|retry|retries)(?:_|$)/],
}

export const OLD_SERVICE: OldKeys = {
  names: {
    ...OLD_INPUT.names,
    requests_limits: 'the limits of the API belong to the credential: give them as requests_limits of the input',
    override_tag_base: 'override_tag is the whole tag',
    environment: 'environment belongs to the input',
    forensics: 'forensic reports are not fetched',
    include_campaign_forensics: 'forensic reports are not fetched',
  },
  patterns: OLD_INPUT.patterns ?? [],
}
