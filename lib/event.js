'use strict'

const { inspect } = require('node:util')

const { COLUMNS } = require('./slice')

/** Two bits of origin, then whether it was handed out before. */
const ORIGINS = ['live', 'backfill', 'replay']
const ORIGIN_BITS = 3
const REDELIVERED = 4

const UNREAD = Symbol('unread')

/**
 * One notification. Everything is read from its slice when it is asked for; a body is parsed once.
 *
 * An event keeps the slice it came in (at most 64 KB of text, or its own if that is larger) alive for as long as it is kept.
 */
class NotificationEvent {
  #slice
  #at
  #body = UNREAD

  constructor(slice, at) {
    this.#slice = slice
    this.#at = at
  }

  /** Whether the value is an event, and made with these names. */
  static isMadeWith(names, value) {
    return typeof value === 'object' && value !== null && #slice in value && value.#slice.names === names
  }

  /** Bytes of JSON lines, one for each of the events, and where each begins. */
  static lines(events) {
    const offsets = new Uint32Array(events.length)
    const parts = []
    let length = 0
    for (let i = 0; i < events.length;) {
      const { slice, from, to, next } = NotificationEvent.#run(events, i)
      const lines = slice.lines(from, to)
      slice.offsets(from, to, lines, length, offsets.subarray(i, next))
      parts.push(lines)
      length += lines.length
      i = next
    }
    return { bytes: joined(parts, length), offsets }
  }

  /** From an event on, those that lie one behind the other in one slice. */
  static #run(events, first) {
    const slice = events[first].#slice
    let next = first + 1
    while (
      next < events.length &&
      events[next].#slice === slice &&
      events[next].#at === events[next - 1].#at + COLUMNS
    ) {
      next++
    }
    return { slice, from: events[first].#at, to: events[next - 1].#at, next }
  }

  get topicName() {
    return this.#slice.topicName(this.#at)
  }

  get eventBody() {
    if (this.#body === UNREAD) this.#body = this.#slice.body(this.#at)
    return this.#body
  }

  get version() {
    return this.#slice.version(this.#at)
  }

  get metadata() {
    return this.#slice.metadata(this.#at)
  }

  get raw() {
    return this.#slice.raw(this.#at)
  }

  get sequence() {
    return this.#slice.sequence(this.#at)
  }

  get receivedAt() {
    return this.#slice.receivedAt(this.#at)
  }

  get origin() {
    return ORIGINS[this.#slice.flags(this.#at) & ORIGIN_BITS]
  }

  get redelivered() {
    return (this.#slice.flags(this.#at) & REDELIVERED) === 0 ? undefined : true
  }

  get channelId() {
    return this.#slice.channelId(this.#at)
  }

  /** Everything but `raw`, which repeats it, and `channelId`, which is enough to open the channel. */
  toJSON() {
    const { topicName, version, eventBody, metadata, sequence, receivedAt, origin, redelivered } = this
    const shown = { topicName, version, eventBody, metadata, sequence, receivedAt, origin }
    if (redelivered) shown.redelivered = true
    return shown
  }

  [inspect.custom](depth, options) {
    if (depth < 0) return options.stylize('[NotificationEvent]', 'special')
    const nextDepth = options.depth === null ? null : options.depth - 1
    return `NotificationEvent ${inspect(this.toJSON(), { ...options, depth: nextDepth })}`
  }
}

/** Texts of ASCII and buffers in one buffer, each copied once. */
function joined(parts, length) {
  const bytes = Buffer.allocUnsafeSlow(length)
  let at = 0
  for (const part of parts) {
    at += typeof part === 'string' ? bytes.latin1Write(part, at) : part.copy(bytes, at)
  }
  return bytes
}

module.exports = { NotificationEvent }
