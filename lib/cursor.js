'use strict'

const { kind } = require('./check')
const { within } = require('./deferred')
const { describe } = require('./errors')

/** Calls the user's `load` and `save`, and tells the native side what came of it. */
class CursorCalls {
  /** What the last call threw; undefined if it did not. */
  error

  #native
  #store
  #timeoutMs

  constructor(native, store, timeoutMs) {
    this.#native = native
    this.#store = store
    this.#timeoutMs = timeoutMs
  }

  async load({ ticket }) {
    const cursor = await this.#try(async () => readCursor(await this.#call('load')))
    this.#native.provideCursor(ticket, cursor, this.#words())
  }

  async save({ ticket, cursor }) {
    await this.#try(() => this.#call('save', cursor))
    this.#native.cursorSaved(ticket, this.#words())
  }

  #call(name, ...values) {
    const answer = Promise.resolve(this.#store[name](...values))
    return within(answer, this.#timeoutMs, `${name} did not end within ${this.#timeoutMs} ms`)
  }

  async #try(call) {
    this.error = undefined
    try {
      return await call()
    } catch (error) {
      // Nothing at all may have been thrown, or rejected with.
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
    throw new Error(`load must give a string, or null where there is none yet, not ${kind(answer)}`)
  }
  return answer
}

module.exports = { CursorCalls }
