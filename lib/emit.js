'use strict'

const { EventEmitter, errorMonitor } = require('node:events')

const { emit } = EventEmitter.prototype

/** As `emit`, but every listener hears the event, whatever another one throws; `failed` is told. */
function emitEach(emitter, event, value, failed) {
  if (emitter.listenerCount(event) <= 1) {
    try {
      return emit.call(emitter, event, value)
    } catch (cause) {
      failed(cause)
      return true
    }
  }
  for (const listener of emitter.rawListeners(event)) {
    try {
      const result = listener.call(emitter, value)
      if (typeof result?.then === 'function') result.then(undefined, failed)
    } catch (cause) {
      failed(cause)
    }
  }
  return true
}

/** Emits 'error', or calls `unheard` if nobody listens. What a listener throws ends the process, as it would anywhere. */
function emitError(emitter, error, unheard) {
  if (emitter.listenerCount('error') === 0) {
    emit.call(emitter, errorMonitor, error)
    return unheard()
  }
  try {
    emit.call(emitter, 'error', error)
  } catch (cause) {
    process.nextTick(rethrow, cause)
  }
}

function rethrow(cause) {
  throw cause
}

module.exports = { emitEach, emitError, rethrow }
