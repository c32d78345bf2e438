'use strict'

const { NotificationEvent } = require('./event')

/** Events that wait in one iterator before the native queue is left to fill. */
const ROOM = 256

/**
 * The events of a client as an asynchronous iterator.
 *
 * A source is `{ enter(stream), leave(stream, unread), more(), asked() }`: it offers events with `push` while `hasRoom`,
 * and hears by `asked` that what was given is done with.
 */
class EventStream {
  #source
  #signal
  #onAbort
  #buffer = []
  #head = 0
  #waiting = []
  /** The first sequence that was given since `next` was last called. */
  #given
  #ended = false
  #error

  constructor(source, signal) {
    this.#source = source
    source.enter(this)
    if (signal) this.#listen(signal)
  }

  #listen(signal) {
    this.#signal = signal
    this.#onAbort = () => {
      this.#leave()
      this.end(signal.reason)
    }
    if (signal.aborted) this.#onAbort()
    else signal.addEventListener('abort', this.#onAbort, { once: true })
  }

  get length() {
    return this.#buffer.length - this.#head
  }

  get room() {
    return ROOM
  }

  get hasRoom() {
    return this.length < this.room
  }

  get hasEnded() {
    return this.#ended
  }

  /** The first sequence that its reader is not done with. */
  get pending() {
    return this.#given ?? this.unread
  }

  /** The first sequence that was not given. */
  get unread() {
    return this.#buffer[this.#head]?.sequence
  }

  /** Takes an event; whoever pushes calls `settle` once it has pushed all it has. */
  push(event) {
    this.#buffer.push(event)
  }

  /** What is buffered can still be read; after it the iterator ends, or throws the error once. */
  end(error) {
    if (this.#ended) return
    this.#ended = true
    this.#given = undefined
    this.#error = error
    this.#release()
    this.settle()
  }

  /** Forgets what is unread. */
  discard() {
    this.#buffer.length = this.#head = 0
  }

  /** The value for one `next()`, or undefined if there is none yet. */
  take() {
    return this.length === 0 ? undefined : this.shift()
  }

  shift() {
    const event = this.#buffer[this.#head]
    this.#given ??= event.sequence
    this.#buffer[this.#head++] = undefined
    if (this.#head === this.#buffer.length) {
      this.#buffer.length = this.#head = 0
    } else if (this.#head >= 1024) {
      this.#buffer.splice(0, this.#head)
      this.#head = 0
    }
    return event
  }

  settle() {
    while (this.#waiting.length > 0) {
      const result = this.#result()
      if (result === undefined) return
      const { resolve, reject } = this.#waiting.shift()
      if (result.error === undefined) resolve(result)
      else reject(result.error)
    }
  }

  #result() {
    const value = this.take()
    if (value !== undefined) return { value, done: false }
    if (!this.#ended) return undefined
    if (this.#error === undefined) return { value: undefined, done: true }
    const error = this.#error
    this.#error = undefined
    return { error }
  }

  next() {
    if (this.#given !== undefined) {
      this.#given = undefined
      if (!this.#ended) this.#source.asked()
    }
    const promise = new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }))
    this.settle()
    if (!this.#ended && this.length < this.room / 2) this.#source.more()
    return promise
  }

  return(value) {
    this.#leave()
    this.end()
    return Promise.resolve({ value, done: true })
  }

  throw(error) {
    this.#leave()
    this.end()
    return Promise.reject(error)
  }

  [Symbol.asyncIterator]() {
    return this
  }

  /** Nobody reads on: what is unread goes back to the source. */
  #leave() {
    const unread = this.#buffer.slice(this.#head)
    this.discard()
    if (!this.#ended) this.#source.leave(this, unread)
  }

  #release() {
    this.#signal?.removeEventListener('abort', this.#onAbort)
    this.#signal = undefined
  }
}

/** The same in arrays, or buffers if `raw`: up to `maxEvents`, no longer than `maxWaitMs` after the first. */
class BatchStream extends EventStream {
  #maxEvents
  #maxWaitMs
  #timer
  #due = false

  #raw

  constructor(source, { maxEvents, maxWaitMs, raw, signal }) {
    super(source, signal)
    this.#maxEvents = maxEvents
    this.#maxWaitMs = maxWaitMs
    this.#raw = raw
  }

  get room() {
    return Math.max(ROOM, this.#maxEvents * 2)
  }

  push(event) {
    super.push(event)
    this.#wait()
  }

  take() {
    if (this.length === 0) return undefined
    const ready = this.length >= this.#maxEvents || this.#maxWaitMs === 0 || this.#due || this.hasEnded
    if (!ready) return undefined
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#due = false
    const batch = []
    while (batch.length < this.#maxEvents && this.length > 0) batch.push(this.shift())
    if (this.length > 0) this.#wait()
    return this.#raw ? rawBatch(batch) : batch
  }

  #wait() {
    if (this.#maxWaitMs > 0 && !this.#due) this.#timer ??= setTimeout(() => this.#flush(), this.#maxWaitMs)
  }

  #flush() {
    this.#timer = undefined
    this.#due = true
    this.settle()
  }

  end(error) {
    clearTimeout(this.#timer)
    super.end(error)
  }
}

/** The events as one buffer of JSON lines, which says where each begins and what they count. */
function rawBatch(events) {
  const { bytes, offsets } = NotificationEvent.lines(events)
  const members = { offsets, firstSequence: events[0].sequence, lastSequence: events[events.length - 1].sequence }
  return Object.assign(bytes, members)
}

module.exports = { EventStream, BatchStream }
