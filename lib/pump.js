'use strict'

const { performance } = require('node:perf_hooks')

const { Inlet } = require('./inlet')
const { Latency } = require('./latency')

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
  #acks
  #inlet
  #streams = new Set()
  /** Events that were taken and then left by their only reader. */
  #returned = []
  #scheduled
  #running = false
  #afterTurn
  #limit = Infinity
  #isPastLimit = false
  #onDrained
  #stopped = false
  #error
  #holding = false
  #empty = true

  constructor(native, face, { maxTurnMs, bodies }, acks) {
    this.#native = native
    this.#inlet = new Inlet(native, bodies)
    this.#face = face
    this.#maxTurnMs = maxTurnMs
    this.#acks = acks
  }

  /** What its events are made with. */
  get names() {
    return this.#inlet.names
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
    if (this.isWanted) {
      this.#acks?.left(stream.pending, this.#streams)
    } else {
      this.#acks?.abandoned(stream.pending ?? unread[0]?.sequence)
      this.#returned = unread.concat(this.#returned)
    }
    this.more()
  }

  /** A reader has asked for more. */
  asked() {
    this.#acks?.advance(this.#streams)
    this.#drainOn()
  }

  /** Whether somebody is there to receive events. */
  get isWanted() {
    return this.#streams.size > 0 || this.#face.isListening()
  }

  /** Whether everything the native queue held was handed over, when it was last asked. */
  get isEmpty() {
    return this.#empty && this.waiting === 0
  }

  /** Events that were taken from the native queue and wait here. */
  get waiting() {
    return this.#returned.length + this.#inlet.waiting
  }

  /** From now on only controls are taken. */
  hold() {
    this.#holding = true
  }

  /** Where events are acknowledged: iterators give nothing of what they hold, or it would come once more later. */
  retract() {
    for (const stream of this.#streams) {
      this.#acks.abandoned(stream.unread)
      stream.discard()
    }
  }

  /** With a journal or a cursor: hands over nothing beyond a sequence, and calls once everybody is done with what comes before. */
  drain(sequence, done) {
    this.#limit = sequence
    this.#onDrained = done
    this.#drainOn()
  }

  #drainOn() {
    if (this.#onDrained === undefined || this.#running) return
    if (this.isWanted && !this.#acks.isDoneWith(this.#limit, this.#isPastLimit, this.#streams)) return
    const done = this.#onDrained
    this.#onDrained = undefined
    done()
  }

  /** Calls once no listener is at work: now, or after this turn. */
  afterTurn(call) {
    if (this.#running) this.#afterTurn = call
    else call()
  }

  /**
   * Ends every iterator; what they hold can still be read, unless there is a journal: it could no longer be acknowledged
   * there, and would be read twice. Nothing is handed over after this.
   */
  stop(error) {
    this.#stopped = true
    this.#error = error
    clearImmediate(this.#scheduled)
    const streams = [...this.#streams]
    this.#streams.clear()
    for (const stream of streams) {
      if (this.#acks !== undefined) stream.discard()
      stream.end(error)
    }
  }

  #turn() {
    if (this.#running || this.#stopped) return
    this.#running = true
    let isDone
    try {
      isDone = this.#work(performance.now())
    } finally {
      this.#running = false
      this.#afterTurn?.()
      this.#afterTurn = undefined
      this.#drainOn()
    }
    if (!isDone) this.more()
    else if (!this.#stopped) this.#face.rested()
  }

  /** Whether there is nothing left to do for now. */
  #work(begin) {
    const inlet = this.#inlet
    for (;;) {
      const before = this.delivered
      const mayTake = inlet.waiting === 0 && this.#mayTake()
      const hasTaken = mayTake && inlet.take()
      // The native side hands out nothing while a control waits: a gap is heard of before the first event after it.
      const hasHeard = (!mayTake || inlet.hasControls) && this.#hear()
      const isLate = this.#hand(begin)
      this.#acks?.settle(this.#streams)
      for (const stream of this.#streams) stream.settle()
      if (this.#stopped) return true
      this.#empty = mayTake && !hasHeard && !inlet.hasMore && !inlet.hasControls
      if (isLate) return false
      if (!hasHeard && (this.#empty ? this.waiting === 0 : !hasTaken && this.delivered === before)) return true
    }
  }

  /** Somebody is there, and no iterator lags behind. */
  #mayTake() {
    if (this.#holding || this.#isPastLimit || !this.isWanted) return false
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
    // After the first one it is known how long listeners take.
    let stride = 1
    while (!this.#stopped && !this.#holding) {
      const event = this.#shift()
      if (event === undefined) return false
      if (this.#limit !== Infinity && event.sequence > this.#limit) {
        this.#isPastLimit = true
        this.#returned.unshift(event)
        return false
      }
      if (this.#streams.size > 0) for (const stream of this.#streams) stream.push(event)
      const isHeard = this.#face.emit(event)
      if (!isHeard && this.#streams.size === 0) {
        this.#returned.unshift(event)
        return false
      }
      this.#acks?.hand(event.sequence, isHeard)
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
    return this.#returned.length > 0 ? this.#returned.shift() : this.#inlet.shift()
  }
}

module.exports = { Pump }
