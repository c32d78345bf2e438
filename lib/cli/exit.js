'use strict'

const { AuthenticationError, ConfigurationError, CursorError } = require('../errors')
const { JournalError, NotificationError, TopicError } = require('../errors')

const EXIT = { done: 0, failed: 1, usage: 2, credentials: 3, permission: 4, network: 5, loss: 6 }

/** The command line itself is wrong. */
class UsageError extends Error {}

function exitCodeOf(error) {
  if (error instanceof UsageError || error instanceof ConfigurationError) return EXIT.usage
  if (error instanceof TopicError || error?.code === 'FORBIDDEN' || error?.code === 'IP_NOT_ALLOWED')
    return EXIT.permission
  if (error instanceof AuthenticationError) return EXIT.credentials
  if (error instanceof JournalError || error instanceof CursorError) return EXIT.failed
  return error instanceof NotificationError && error.code !== 'INTERNAL' ? EXIT.network : EXIT.failed
}

/** One line for people. */
function explain(error) {
  if (error instanceof UsageError) return error.message
  if (!(error instanceof NotificationError)) return error?.stack ?? String(error)
  const details = [
    error.status && `HTTP ${error.status}`,
    error.correlationId && `correlation id ${error.correlationId}`,
  ]
  const known = details.filter(Boolean).join(', ')
  return `${error.code}: ${error.message}${known ? ` (${known})` : ''}${error.hint ? `\n  ${error.hint}` : ''}`
}

module.exports = { EXIT, UsageError, exitCodeOf, explain }
