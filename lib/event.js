'use strict'

const { inspect } = require('node:util')

/** Numbers per row of a batch; see `Batch` in crates/client. */
const COLUMNS = 12

/** The last column: two bits of origin, then whether it was handed out before. */
const ORIGINS = ['live', 'backfill', 'replay']
const ORIGIN_BITS = 3
const REDELIVERED = 4

/**
 * One notification. The members are getters over the text as it arrived; a body is parsed when it is first read.
 *
 * An event keeps the batch it came in (at most 64 KB, or itself if larger) alive for as long as it is kept.
 */
class NotificationEvent {
  #text
  #names
  #start
  #end
  #bodyStart
  #bodyEnd
  #metadataStart
  #metadataEnd
  #topicName
  #channelId
  #version
  #sequence
  #receivedAt
  #flags
  #body
  #parsed = false

  constructor(text, rows, at, names) {
    this.#text = text
    this.#names = names
    this.#topicName = names[rows[at]]
    this.#channelId = names[rows[at + 1]]
    this.#version = rows[at + 2] < 0 ? undefined : names[rows[at + 2]]
    this.#start = rows[at + 3]
    this.#end = rows[at + 3] + rows[at + 4]
    this.#bodyStart = rows[at + 5]
    this.#bodyEnd = rows[at + 5] + rows[at + 6]
    this.#metadataStart = rows[at + 7]
    this.#metadataEnd = rows[at + 7] + rows[at + 8]
    this.#sequence = rows[at + 9]
    this.#receivedAt = rows[at + 10]
    this.#flags = rows[at + 11]
  }

  /** Whether the value is an event, and made with these names: each client and each replay has its own. */
  static isMadeWith(names, value) {
    return typeof value === 'object' && value !== null && #names in value && value.#names === names
  }

  get topicName() {
    return this.#topicName
  }

  get eventBody() {
    if (!this.#parsed) {
      this.#body = this.#bodyStart < 0 ? undefined : JSON.parse(this.#text.slice(this.#bodyStart, this.#bodyEnd))
      this.#parsed = true
    }
    return this.#body
  }

  get version() {
    return this.#version
  }

  get metadata() {
    return this.#metadataStart < 0 ? undefined : JSON.parse(this.#text.slice(this.#metadataStart, this.#metadataEnd))
  }

  get raw() {
    return this.#text.slice(this.#start, this.#end)
  }

  get sequence() {
    return this.#sequence
  }

  get receivedAt() {
    return this.#receivedAt
  }

  get origin() {
    return ORIGINS[this.#flags & ORIGIN_BITS]
  }

  get redelivered() {
    return (this.#flags & REDELIVERED) === 0 ? undefined : true
  }

  get channelId() {
    return this.#channelId
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

module.exports = { NotificationEvent, COLUMNS }
