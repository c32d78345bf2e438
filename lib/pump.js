'use strict'

const { performance } = require('node:perf_hooks')

const { NotificationEvent, COLUMNS } = require('./event')
const { Latency } = require('./latency')

/** One slice of the native queue. A single larger event still comes whole. */
const SLICE_EVENTS = 64
const SLICE_BYTES = 65_536
/** `rows` begins with the number of events, then the number of names announced so far. */
const HEADER = 2
/** How many events are handed over between two looks at the clock, as long as listeners are quick. */
const STRIDE = 8

/**
 * Takes controls and events from the native queue and hands them over, a slice at a time.
 *
 * The native side rings once and stays silent until it was heard; how much is taken then, and how long one turn of the
 * event loop lasts, is decided here. Events are only taken while somebody is there to receive them.
 *
 * `face` is `{ controls(list), emit(event): boolean, isListening(): boolean, rested() }`; `rested` is called when all there
 * was is handed over, or has to wait for its consumers.
 */
class Pump {
  latency = new Latency()
  delivered = 0

  #native
  #face
  #maxTurnMs
  #rows = new Float64Array(HEADER + SLICE_EVENTS * COLUMNS)
  #names = []
  #streams = new Set()
  /** Events that were taken and then left by their only reader. */
  #returned = []
  #text = null
  #next = 0
  #scheduled
  #running = false
  #stopped = false
  #error
  #holding = false
  #empty = true

  constructor(native, face, maxTurnMs) {
    this.#native = native
    this.#face = face
    this.#maxTurnMs = maxTurnMs
  }

  /** The bell. */
  ring() {
    if (this.#scheduled === undefined) this.#turn()
  }

  /** There may be something to hand over, or somebody new to hand it to. */
  more() {
    if (this.#stopped || this.#running) return
    this.#scheduled ??= setImmediate(() => {
      this.#scheduled = undefined
      this.#turn()
    })
  }

  enter(stream) {
    if (this.#stopped) return stream.end(this.#error)
    this.#streams.add(stream)
    this.more()
  }

  leave(stream, unread) {
    this.#streams.delete(stream)
    // Where others remain they have seen them already: every consumer gets every event.
    if (!this.isWanted) this.#returned = unread.concat(this.#returned)
    this.more()
  }

  /** Whether somebody is there to receive events. */
  get isWanted() {
    return this.#streams.size > 0 || this.#face.isListening()
  }

  /** Whether everything the native queue held was handed over, when it was last asked. */
  get isEmpty() {
    return this.#empty && this.#text === null && this.#returned.length === 0
  }

  /** Events that were taken from the native queue and wait here. */
  get waiting() {
    return this.#returned.length + (this.#text === null ? 0 : this.#rows[0] - this.#next)
  }

  /** From now on only controls are taken. */
  hold() {
    this.#holding = true
  }

  /** Ends every iterator; what they hold can still be read. Nothing is handed over after this. */
  stop(error) {
    this.#stopped = true
    this.#error = error
    clearImmediate(this.#scheduled)
    const streams = [...this.#streams]
    this.#streams.clear()
    for (const stream of streams) stream.end(error)
  }

  #turn() {
    if (this.#running || this.#stopped) return
    this.#running = true
    let isDone
    try {
      isDone = this.#work(performance.now())
    } finally {
      this.#running = false
    }
    if (!isDone) this.more()
    else if (!this.#stopped) this.#face.rested()
  }

  /** Whether there is nothing left to do for now. */
  #work(begin) {
    for (;;) {
      const before = this.delivered
      const hasTaken = this.#take()
      // Asked after the events were taken: a gap must be heard of before the first event after it.
      const hasHeard = this.#hear()
      // The native side hands out nothing while a control waits: only silence of both means that nothing is left.
      this.#empty = !hasTaken && !hasHeard && this.#mayTake()
      const isLate = this.#hand(begin)
      for (const stream of this.#streams) stream.settle()
      if (this.#stopped) return true
      if (isLate) return false
      if (!hasTaken && !hasHeard && this.delivered === before) return true
    }
  }

  #take() {
    if (this.#text !== null || !this.#mayTake()) return false
    const text = this.#native.drain(this.#rows, SLICE_EVENTS, SLICE_BYTES)
    if (text === null) return false
    if (this.#rows[1] > this.#names.length) this.#names.push(...this.#native.takeNames())
    this.#text = text
    this.#next = 0
    return true
  }

  /** Somebody is there, and no iterator lags behind. */
  #mayTake() {
    if (this.#holding || !this.isWanted) return false
    for (const stream of this.#streams) if (!stream.hasRoom) return false
    return true
  }

  #hear() {
    const controls = this.#native.takeControls()
    if (controls === null) return false
    this.#face.controls(JSON.parse(controls))
    return true
  }

  /** Hands over what is at hand. True if the time of this turn is over first. */
  #hand(begin) {
    let now = Date.now()
    let last = begin
    let stride = STRIDE
    while (!this.#stopped && !this.#holding) {
      const event = this.#shift()
      if (event === undefined) return false
      for (const stream of this.#streams) stream.push(event)
      if (!this.#face.emit(event) && this.#streams.size === 0) {
        this.#returned.unshift(event)
        return false
      }
      this.delivered++
      this.latency.record(now - event.receivedAt, now)
      if (--stride > 0) continue
      const clock = performance.now()
      if (clock - begin >= this.#maxTurnMs) return true
      stride = clock - last > this.#maxTurnMs / 4 ? 1 : STRIDE
      last = clock
      now = Date.now()
    }
    return false
  }

  #shift() {
    if (this.#returned.length > 0) return this.#returned.shift()
    if (this.#text === null) return undefined
    const at = HEADER + this.#next * COLUMNS
    const event = new NotificationEvent(this.#text, this.#rows, at, this.#names)
    if (++this.#next === this.#rows[0]) this.#text = null
    return event
  }
}

module.exports = { Pump }
