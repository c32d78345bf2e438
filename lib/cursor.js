'use strict'

const { kind } = require('./check')
const { describe } = require('./errors')

/** Calls the user's `load` and `save`, and tells the native side, which waits no longer than it should, what came of it. */
class CursorCalls {
  /** What was thrown since the last call began. */
  error

  #native
  #store

  constructor(native, store) {
    this.#native = native
    this.#store = store
  }

  async load({ ticket }) {
    const { value, words } = await this.#try(async () => readCursor(await this.#store.load()))
    this.#native.provideCursor(ticket, value, words)
  }

  /** Called again while a save that was given up still goes on. */
  async save({ ticket, cursor }) {
    const { words } = await this.#try(async () => this.#store.save(cursor))
    this.#native.cursorSaved(ticket, words)
  }

  async #try(call) {
    this.error = undefined
    try {
      return { value: await call() }
    } catch (error) {
      this.error = error
      return { words: describe(error) }
    }
  }
}

function readCursor(answer) {
  if (typeof answer !== 'string' && answer !== null) {
    throw new Error(`it must give a string, or null where there is none yet, not ${kind(answer)}`)
  }
  return answer
}

module.exports = { CursorCalls }
