'use strict'

/** A promise and its two ends. Its rejection alone never ends the process: whoever awaits it still gets it. */
class Deferred {
  constructor() {
    this.promise = quiet(
      new Promise((resolve, reject) => {
        this.resolve = resolve
        this.reject = reject
      }),
    )
  }
}

function quiet(promise) {
  promise.catch(() => {})
  return promise
}

/** The same promise, given up with the signal's reason when the signal aborts first. */
function abortable(promise, signal) {
  if (!signal) return promise
  if (signal.aborted) return quiet(Promise.reject(signal.reason))
  const given = new Deferred()
  const onAbort = () => given.reject(signal.reason)
  const settled = () => signal.removeEventListener('abort', onAbort)
  signal.addEventListener('abort', onAbort, { once: true })
  promise.then(given.resolve, given.reject).then(settled)
  return given.promise
}

module.exports = { Deferred, abortable, quiet }
