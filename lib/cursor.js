'use strict'

const { kind } = require('./check')
const { describe } = require('./errors')

/** Calls the user's `load` and `save`, and tells the native side, which waits no longer than it should, what came of it. */
class CursorCalls {
  /** What the last call threw; undefined if it did not. */
  error

  #native
  #store

  constructor(native, store) {
    this.#native = native
    this.#store = store
  }

  async load({ ticket }) {
    const cursor = await this.#try(async () => readCursor(await this.#store.load()))
    this.#native.provideCursor(ticket, cursor, this.#words())
  }

  async save({ ticket, cursor }) {
    await this.#try(async () => this.#store.save(cursor))
    this.#native.cursorSaved(ticket, this.#words())
  }

  async #try(call) {
    this.error = undefined
    try {
      return await call()
    } catch (error) {
      // Nothing at all may have been thrown.
      this.error = error ?? new Error(describe(error))
      return undefined
    }
  }

  #words() {
    return this.error === undefined ? undefined : describe(this.error)
  }
}

function readCursor(answer) {
  if (typeof answer !== 'string' && answer !== null) {
    throw new Error(`it must give a string, or null where there is none yet, not ${kind(answer)}`)
  }
  return answer
}

module.exports = { CursorCalls }
