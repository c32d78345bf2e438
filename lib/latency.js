'use strict'

const WINDOW_MS = 60_000
/** Four steps per doubling: a percentile is read within 19 % of its true value. */
const STEPS = 4
const BUCKETS = STEPS * 24

/** Percentiles over the last one to two minutes, in constant memory. */
class Latency {
  #current = new Uint32Array(BUCKETS)
  #previous = new Uint32Array(BUCKETS)
  #since = 0
  /** Most events of one slice are equally old. */
  #ms = 0
  #bucket = 0

  record(ms, now) {
    if (now - this.#since >= WINDOW_MS) this.#turn(now)
    if (ms !== this.#ms) {
      this.#ms = ms
      this.#bucket = bucket(ms)
    }
    this.#current[this.#bucket]++
  }

  #turn(now) {
    const stale = now - this.#since >= 2 * WINDOW_MS
    const next = this.#previous.fill(0)
    this.#previous = stale ? this.#current.fill(0) : this.#current
    this.#current = next
    this.#since = now
  }

  /** `{ p50, p99 }` in milliseconds; null where nothing was measured. */
  percentiles(now) {
    if (now - this.#since >= WINDOW_MS) this.#turn(now)
    return { p50: this.#percentile(0.5), p99: this.#percentile(0.99) }
  }

  #percentile(fraction) {
    let total = 0
    for (let i = 0; i < BUCKETS; i++) total += this.#current[i] + this.#previous[i]
    if (total === 0) return null
    let left = Math.ceil(total * fraction)
    for (let i = 0; i < BUCKETS; i++) {
      left -= this.#current[i] + this.#previous[i]
      if (left <= 0) return value(i)
    }
    return null
  }
}

function bucket(ms) {
  if (!(ms > 0)) return 0
  return Math.min(BUCKETS - 1, Math.round(Math.log2(ms + 1) * STEPS))
}

function value(index) {
  return Math.round((2 ** (index / STEPS) - 1) * 10) / 10
}

module.exports = { Latency }
