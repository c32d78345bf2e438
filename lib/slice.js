'use strict'

const { transcode } = require('node:buffer')

/** Numbers per row; see `Batch` in crates/client. Before the rows of a slice there is one of header. */
const COLUMNS = 16

const TOPIC = 0
const CHANNEL = 1
const VERSION = 2
const FLAGS = 3
const START = 4
const BODY = 6
const METADATA = 8
const SEQUENCE = 10
const RECEIVED_AT = 12

const UPPER = 2 ** 32
const LINE_FEED = 10

/** Events that crossed together: their text, a string or if it is large a buffer, and their rows, read when asked for. */
class Slice {
  /** Of these names too `NotificationEvent` asks: each client and each replay has its own. */
  names
  #text
  #rows
  #isAscii

  constructor(text, isAscii, rows, names) {
    this.#text = text
    this.#isAscii = isAscii
    this.#rows = rows
    this.names = names
  }

  topicName(at) {
    return this.names[this.#rows[at + TOPIC]]
  }

  channelId(at) {
    return this.names[this.#rows[at + CHANNEL]]
  }

  version(at) {
    const version = this.#rows[at + VERSION]
    return version < 0 ? undefined : this.names[version]
  }

  flags(at) {
    return this.#rows[at + FLAGS]
  }

  sequence(at) {
    return this.#whole(at + SEQUENCE)
  }

  receivedAt(at) {
    return this.#whole(at + RECEIVED_AT)
  }

  raw(at) {
    return this.#cut(at + START)
  }

  body(at) {
    return this.#parsed(at + BODY)
  }

  metadata(at) {
    return this.#parsed(at + METADATA)
  }

  /** The frames from one row to another, both included, as bytes of JSON lines in UTF-8. */
  lines(from, to) {
    const rows = this.#rows
    // Behind each frame there is a line feed.
    const start = rows[from + START]
    const end = rows[to + START] + rows[to + START + 1] + 1
    if (typeof this.#text === 'string') {
      return Buffer.from(this.#text.slice(start, end), this.#isAscii ? 'latin1' : 'utf8')
    }
    const bytes = this.#text.subarray(start, end)
    return this.#isAscii ? Buffer.from(bytes) : transcode(bytes, 'latin1', 'utf8')
  }

  /** Where these frames begin in their `lines`, if those begin at `base`. */
  offsets(from, to, lines, base, offsets) {
    const rows = this.#rows
    if (this.#isAscii) {
      const start = base - rows[from + START]
      for (let i = 0, at = from; at <= to; i++, at += COLUMNS) offsets[i] = start + rows[at + START]
      return
    }
    let start = 0
    for (let i = 0; i < offsets.length; i++) {
      offsets[i] = base + start
      start = lines.indexOf(LINE_FEED, start) + 1
    }
  }

  #parsed(column) {
    return this.#rows[column] < 0 ? undefined : JSON.parse(this.#cut(column))
  }

  #cut(column) {
    const start = this.#rows[column]
    const end = start + this.#rows[column + 1]
    return typeof this.#text === 'string' ? this.#text.slice(start, end) : this.#text.latin1Slice(start, end)
  }

  #whole(column) {
    return this.#rows[column] * UPPER + (this.#rows[column + 1] >>> 0)
  }
}

module.exports = { COLUMNS, Slice }
