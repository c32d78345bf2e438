'use strict'

const { Bodies } = require('./bodies')
const { NotificationEvent } = require('./event')
const { COLUMNS, Slice } = require('./slice')

/** One slice of the native queue. A single larger event still comes whole. */
const SLICE_EVENTS = 64
const SLICE_BYTES = 65_536
/** Slices share arrays of this many rows, since each array costs an allocation outside of JavaScript's heap. */
const SLAB_ROWS = 512

/** Columns of the header; see `drain` in src/client.rs. */
const COUNT = 0
const NAMES = 1
const SHAPES = 2
const HAS_EVENTS = 3
const HAS_CONTROLS = 4

/** Takes slices of events from the native queue, and makes them events one by one. */
class Inlet {
  names = []
  /** What the native side said remains, when it was last asked. */
  hasMore = false
  hasControls = false

  #native
  #bodies
  #shapes = 0
  #rows = new Int32Array(0)
  #free = 0
  #slice = null
  #next = 0
  #end = 0

  constructor(native, bodies) {
    this.#native = native
    this.#bodies = new Bodies(native, bodies)
  }

  /** Events that were taken and are not made yet. */
  get waiting() {
    return (this.#end - this.#next) / COLUMNS
  }

  /** Whether there were any. To be called when none is waiting. */
  take() {
    if (this.#rows.length - this.#free < (SLICE_EVENTS + 1) * COLUMNS) {
      this.#rows = new Int32Array(SLAB_ROWS * COLUMNS)
      this.#free = 0
    }
    const rows = this.#rows
    const header = this.#free
    const text = this.#native.drain(rows, header, SLICE_EVENTS, SLICE_BYTES)
    this.hasMore = rows[header + HAS_EVENTS] === 1
    this.hasControls = rows[header + HAS_CONTROLS] === 1
    if (text === null) return false
    if (rows[header + NAMES] > this.names.length) this.names.push(...this.#native.takeNames())
    if (rows[header + SHAPES] > this.#shapes) this.#learn(rows[header + SHAPES])
    this.#slice = new Slice(text, rows, header, this.names, this.#bodies)
    this.#bodies.add(this.#slice.tally)
    this.#next = header + COLUMNS
    this.#end = this.#next + rows[header + COUNT] * COLUMNS
    this.#free = this.#end
    return true
  }

  /** The next event, undefined if none is waiting. */
  shift() {
    const at = this.#next
    if (at === this.#end) return undefined
    const event = new NotificationEvent(this.#slice, at)
    this.#next = at + COLUMNS
    if (this.#next === this.#end) this.#slice = null
    return event
  }

  #learn(count) {
    this.#bodies.announce(JSON.parse(this.#native.takeShapes()))
    this.#shapes = count
  }
}

module.exports = { Inlet }
