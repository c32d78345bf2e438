'use strict'

const { kind, show, wrong } = require('./check')
const { ClosedError, ConfigurationError } = require('./errors')
const { NotificationEvent } = require('./event')

/**
 * Tells the journal, or the cursor, up to where events are done with, at most once a turn of the event loop.
 *
 * Every consumer gets every event, so an event is done with when the last of them is: listeners once they have returned,
 * iterators once they were asked for more. With `isManual` nothing of this counts, only `to`.
 */
class Acknowledger {
  #native
  #isManual
  /** The last sequence that every consumer was handed and every listener has returned from. */
  #handed = 0
  #highest = 0
  #isHeard = false
  #reached = 0
  #told = 0
  #scheduled
  #isOver = false

  constructor(native, isManual) {
    this.#native = native
    this.#isManual = isManual
  }

  /**
   * Iterators hold it, and listeners, if any `isHeard` it, have returned. What goes back to the queue is handed over
   * again, so this may fall.
   */
  hand(sequence, isHeard) {
    this.#handed = sequence
    if (sequence > this.#highest) this.#highest = sequence
    if (isHeard) this.#isHeard = true
  }

  /** All there was at hand was handed over. */
  settle(streams) {
    if (!this.#isHeard) return
    this.#isHeard = false
    this.advance(streams)
  }

  /** A consumer was done with something: `streams` are the iterators that there are. */
  advance(streams) {
    if (!this.#isManual) this.#reach(this.#doneBy(streams))
  }

  /** An iterator was left while others remain: what it was given last, it may not be done with. */
  left(given, streams) {
    if (this.#isManual) return
    const done = this.#doneBy(streams)
    this.#reach(given === undefined ? done : Math.min(done, given - 1))
  }

  /** From this event on it goes back: the only reader was left, or the end has come. */
  abandoned(sequence) {
    if (sequence !== undefined && sequence <= this.#handed) this.#handed = sequence - 1
  }

  /** The user's own word: an event made with `names`, or the sequence of one that was handed over. */
  to(eventOrSequence, names) {
    if (!this.#isManual) refuseAck()
    if (this.#isOver) throw new ClosedError()
    this.#reach(this.#sequenceOf(eventOrSequence, names))
  }

  /** Whether consumers are done with all up to a sequence, or with all they were handed if more was there. */
  isDoneWith(sequence, isPast, streams) {
    const done = this.#doneBy(streams)
    return done >= sequence || (isPast && done === this.#handed)
  }

  #sequenceOf(value, names) {
    if (NotificationEvent.isMadeWith(names, value)) return value.sequence
    if (typeof value !== 'number') {
      const what = value instanceof NotificationEvent ? 'an event of another client, or of a replay' : kind(value)
      throw wrong('upTo', `must be an event of this client or its sequence, not ${what}`)
    }
    if (!Number.isSafeInteger(value) || value < 1) {
      throw wrong('upTo', `must be a sequence, a whole number from 1, not ${show(value)}`)
    }
    if (value > this.#highest) {
      const last = this.#highest === 0 ? 'nothing was' : `the last was ${this.#highest}`
      throw wrong('upTo', `${value} was not delivered yet; ${last}`)
    }
    return value
  }

  #doneBy(streams) {
    let done = this.#handed
    for (const { pending } of streams) if (pending !== undefined && pending <= done) done = pending - 1
    return done
  }

  #reach(sequence) {
    if (sequence <= this.#reached || this.#isOver) return
    this.#reached = sequence
    this.#scheduled ??= setImmediate(() => this.flush())
  }

  /** Tells it now. */
  flush() {
    clearImmediate(this.#scheduled)
    this.#scheduled = undefined
    if (this.#reached === this.#told) return
    this.#told = this.#reached
    this.#native.ack(this.#told)
  }

  /** The end; what is not acknowledged by now is delivered again. */
  end() {
    this.flush()
    this.#isOver = true
  }
}

function refuseAck() {
  const hint = 'Without it, asking an iterator for the next event, or returning from a listener, acknowledges.'
  throw new ConfigurationError('manualAck', 'ack() is for clients with a journal or a cursor, and manualAck: true', {
    hint,
  })
}

module.exports = { Acknowledger, refuseAck }
