'use strict'

const { Shapes } = require('./shapes')

/** How many slices back is looked: iterators read an event some time after it was taken. */
const BEHIND = 4
/** So many events count as much as all before them. */
const MEMORY = 256
/** One slice does not decide. */
const MOST_WEIGHT = 0.25
const MOSTLY_READ = 0.6
const RARELY_READ = 0.3
/** Above this, shapes save this thread little and cost the native one much: see `npm run bench`. */
const SMALL_BYTES = 1_024
const EVERY_SIZE = 2 ** 32 - 1

/**
 * How bodies cross: as text, or also as the values of their shapes, which costs the native side more and this one less if bodies
 * are read.
 *
 * `mode` is 'text', 'shaped', or 'auto': small ones shaped while most bodies are read.
 */
class Bodies {
  #native
  #isAuto
  #shapes
  #isShaped
  #tallies = []
  #next = 0
  /** What part of late was read. */
  #read = 0

  constructor(native, mode) {
    this.#native = native
    this.#isAuto = mode === 'auto' && Shapes.isPossible
    this.#isShaped = mode === 'shaped' && Shapes.isPossible
    if (this.#isShaped) native.shapeBodies(EVERY_SIZE)
  }

  /** What bodies are built with; undefined as long as none had a shape. */
  get shapes() {
    return this.#shapes
  }

  /** Whether reading one body of a slice is a reason to parse the values of all. */
  get areMostlyRead() {
    return this.#read > MOSTLY_READ
  }

  /** Shapes as they were announced. */
  announce(list) {
    this.#shapes ??= new Shapes()
    this.#shapes.add(list)
  }

  /** A slice was taken, of which this is the tally. */
  add(tally) {
    const before = this.#tallies[this.#next]
    this.#tallies[this.#next] = tally
    this.#next = (this.#next + 1) % BEHIND
    if (before !== undefined) this.#learn(before)
  }

  #learn({ count, read }) {
    const weight = Math.min(MOST_WEIGHT, count / MEMORY)
    this.#read += (read / count - this.#read) * weight
    if (this.#isAuto) this.#shape(this.#isShaped ? this.#read > RARELY_READ : this.#read > MOSTLY_READ)
  }

  #shape(isShaped) {
    if (isShaped === this.#isShaped) return
    this.#isShaped = isShaped
    this.#native.shapeBodies(isShaped ? SMALL_BYTES : 0)
  }
}

module.exports = { Bodies }
