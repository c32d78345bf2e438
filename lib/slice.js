'use strict'

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
const VALUES = 14

/** Columns of the header. */
const COUNT = 0
const IS_ASCII = 5
const FRAMES_LENGTH = 6
const VALUES_LENGTH = 7

const UPPER = 2 ** 32
const LINE_FEED = 10
const MANY = 32

/**
 * Events that crossed together: a row of header and theirs, read when asked for, and their text, a string or if it is large
 * a buffer. Behind the frames there may be a JSON array of the values of their bodies.
 */
class Slice {
  /** Each client and each replay has its own. */
  names
  /** What `Bodies` wants to know of it: how many events there are, and the bodies of how many were read. */
  tally
  #text
  #rows
  #header
  #bodies
  /** The values of all bodies, once they were parsed together. */
  #values

  constructor(text, rows, header, names, bodies) {
    this.#text = text
    this.#rows = rows
    this.#header = header
    this.names = names
    this.#bodies = bodies
    this.tally = { count: rows[header + COUNT], read: 0 }
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
    this.tally.read++
    return this.#rows[at + VALUES] < 0 ? this.#parsed(at + BODY) : this.#bodies.shapes.build(this.#valuesOf(at))
  }

  metadata(at) {
    return this.#parsed(at + METADATA)
  }

  /** The frames from one row to another, both included, as JSON lines: text if all of it is ASCII, otherwise bytes of UTF-8. */
  lines(from, to) {
    const rows = this.#rows
    // Behind each frame there is a line feed.
    const text = this.#part(rows[from + START], rows[to + START] + rows[to + START + 1] + 1)
    return rows[this.#header + IS_ASCII] === 1 ? text : Buffer.from(text, 'utf8')
  }

  /** Where these frames begin in their `lines`, if those begin at `base`. */
  offsets(from, to, lines, base, offsets) {
    const rows = this.#rows
    if (rows[this.#header + IS_ASCII] === 1) {
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

  #valuesOf(at) {
    if (this.#values === undefined) {
      if (!this.#isParsedWhole) return JSON.parse(this.#cut(at + VALUES, this.#rows[this.#header + FRAMES_LENGTH]))
      const start = this.#rows[this.#header + FRAMES_LENGTH]
      this.#values = JSON.parse(this.#part(start, start + this.#rows[this.#header + VALUES_LENGTH]))
    }
    const index = (at - this.#header) / COLUMNS - 1
    const values = this.#values[index]
    this.#values[index] = null
    return values
  }

  /** One call for many small texts costs less; of few large ones too much would be alive at once. */
  get #isParsedWhole() {
    return this.#bodies.areMostlyRead && this.tally.count >= MANY
  }

  #parsed(column) {
    return this.#rows[column] < 0 ? undefined : JSON.parse(this.#cut(column))
  }

  #cut(column, base = 0) {
    const start = base + this.#rows[column]
    return this.#part(start, start + this.#rows[column + 1])
  }

  #part(start, end) {
    return typeof this.#text === 'string' ? this.#text.slice(start, end) : this.#text.latin1Slice(start, end)
  }

  #whole(column) {
    return this.#rows[column] * UPPER + (this.#rows[column + 1] >>> 0)
  }
}

module.exports = { COLUMNS, Slice }
