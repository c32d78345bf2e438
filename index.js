'use strict'

const { NotificationClient } = require('./lib/client')
const {
  AuthenticationError,
  ClosedError,
  ConfigurationError,
  CursorError,
  JournalError,
  LoadError,
  NetworkError,
  NotificationError,
  ProtocolError,
  ServiceError,
  TopicError,
} = require('./lib/errors')
const { NotificationEvent } = require('./lib/event')
const { topic } = require('./lib/topics')

// Plain names only: ES modules read this list without running it.
module.exports = {
  AuthenticationError,
  ClosedError,
  ConfigurationError,
  CursorError,
  JournalError,
  LoadError,
  NetworkError,
  NotificationClient,
  NotificationError,
  NotificationEvent,
  ProtocolError,
  ServiceError,
  TopicError,
  topic,
}
