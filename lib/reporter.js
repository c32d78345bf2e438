'use strict'

/** At most one line a minute for each code: a client that retries for days must not fill a disk. */
const QUIET_MS = 60_000

/** Log lines, and errors that nobody listens for. */
class Reporter {
  #logger
  #lastByCode = new Map()

  constructor(logger) {
    this.#logger = logger
  }

  log(level, message) {
    if (this.#logger === undefined) return
    try {
      this.#logger[level](message)
    } catch {
      // A logger that throws has no better place to complain to.
    }
  }

  unheard(error) {
    const now = Date.now()
    if (now - (this.#lastByCode.get(error.code) ?? -Infinity) < QUIET_MS) return
    this.#lastByCode.set(error.code, now)
    const hint = error.hint === undefined ? '' : ` ${error.hint}`
    const line = `genesys-cloud-notifications: ${error.code}: ${error.message}${hint}`
    if (this.#logger === undefined) console.error(line)
    else this.log('error', line)
  }
}

module.exports = { Reporter }
