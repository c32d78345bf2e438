'use strict'

/** What every error of this package is: a stable `code` for programs, words for people. */
class NotificationError extends Error {
  constructor(message, details = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.code = details.code ?? 'INTERNAL'
    this.retryable = details.retryable ?? false
    if (details.hint !== undefined) this.hint = details.hint
    if (details.status !== undefined) this.status = details.status
    if (details.correlationId !== undefined) this.correlationId = details.correlationId
  }

  toJSON() {
    const { name, message, code, retryable, hint, status, correlationId, path } = this
    return { name, code, message, retryable, hint, status, correlationId, path }
  }
}

class ConfigurationError extends NotificationError {
  constructor(path, message, details = {}) {
    super(path ? `${path}: ${message}` : message, { code: 'INVALID_OPTION', ...details })
    this.path = path
  }
}

class AuthenticationError extends NotificationError {}
class TopicError extends NotificationError {}
class NetworkError extends NotificationError {}
class ServiceError extends NotificationError {}
class ProtocolError extends NotificationError {}
class JournalError extends NotificationError {}
class CursorError extends NotificationError {}

class ClosedError extends NotificationError {
  constructor(message = 'the client is closed', details = {}) {
    super(message, { code: 'CLOSED', ...details })
  }
}

class LoadError extends NotificationError {
  constructor(message, details = {}) {
    super(message, { code: 'LOAD_FAILED', ...details })
  }
}

const CLASSES = [
  NotificationError,
  ConfigurationError,
  AuthenticationError,
  TopicError,
  NetworkError,
  ServiceError,
  ProtocolError,
  JournalError,
  CursorError,
  ClosedError,
  LoadError,
]
for (const Class of CLASSES) {
  Object.defineProperty(Class.prototype, 'name', { value: Class.name, configurable: true, writable: true })
}

const BY_CODE = {
  INVALID_CREDENTIALS: AuthenticationError,
  TOKEN_REJECTED: AuthenticationError,
  TOKEN_UNAVAILABLE: AuthenticationError,
  TOKEN_PROVIDER_FAILED: AuthenticationError,
  IP_NOT_ALLOWED: AuthenticationError,
  FORBIDDEN: AuthenticationError,
  ALL_TOPICS_REJECTED: TopicError,
  TOPIC_REJECTED: TopicError,
  TOO_MANY_TOPICS: TopicError,
  RATE_LIMITED: ServiceError,
  SERVICE_UNAVAILABLE: ServiceError,
  CHANNEL_GONE: ServiceError,
  NETWORK_ERROR: NetworkError,
  TLS_ERROR: NetworkError,
  TIMED_OUT: NetworkError,
  CONNECTION_LOST: NetworkError,
  SILENT_SOCKET: NetworkError,
  UNTRUSTED_CONNECT_URI: ProtocolError,
  PROTOCOL_VIOLATION: ProtocolError,
  UNREADABLE_FRAME: ProtocolError,
  TOO_MANY_CHANNELS: ServiceError,
  JOURNAL_FULL: JournalError,
  JOURNAL_FAILED: JournalError,
  BACKFILL_FAILED: NotificationError,
  NOT_READY: ServiceError,
  POSITION_REFUSED: ServiceError,
  CURSOR_FAILED: CursorError,
  CURSOR_CORRUPT: CursorError,
}

/** The error for a report of the core: `{ code, message, retryable, hint?, status?, correlationId? }`. */
function fromReport(report, cause) {
  const Class = BY_CODE[report.code] ?? NotificationError
  return new Class(report.message, { ...report, cause })
}

/** The error for what a native method threw. Its message is JSON with `path` and `message` where an option is wrong. */
function fromNative(error) {
  if (error?.code !== 'INVALID_OPTION') return error
  try {
    const { path, message } = JSON.parse(error.message)
    return new ConfigurationError(path, message)
  } catch {
    return new ConfigurationError('', error.message)
  }
}

function listenerFailed(event, cause) {
  return new NotificationError(`a listener of '${event}' failed: ${describe(cause)}`, {
    code: 'LISTENER_FAILED',
    hint: 'Catch errors inside the listener; later events were delivered all the same.',
    cause,
  })
}

/** The words of whatever was thrown, without calling anything that could throw again. */
function describe(thrown) {
  if (thrown instanceof Error) return thrown.message
  return typeof thrown === 'string' ? thrown : `threw ${thrown === null ? 'null' : typeof thrown}`
}

module.exports = {
  NotificationError,
  ConfigurationError,
  AuthenticationError,
  TopicError,
  NetworkError,
  ServiceError,
  ProtocolError,
  JournalError,
  CursorError,
  ClosedError,
  LoadError,
  BY_CODE,
  fromReport,
  fromNative,
  listenerFailed,
  describe,
}
