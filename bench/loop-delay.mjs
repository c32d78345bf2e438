// How late the event loop is, beside other work on its thread.

/** A quarter of the thread's time, in stretches of a millisecond. */
const WORK_EVERY_MS = 4
const WORK_MS = 1
/** A timer of Node's is due after a millisecond at the earliest. */
const LOOK_EVERY_MS = 1

export class LoopDelay {
  #work = setInterval(spin, WORK_EVERY_MS)
  #delays = []
  #timer
  #due

  constructor() {
    this.#look()
  }

  #look() {
    this.#due = performance.now() + LOOK_EVERY_MS
    this.#timer = setTimeout(() => {
      this.#delays.push(Math.max(0, performance.now() - this.#due))
      this.#look()
    }, LOOK_EVERY_MS)
  }

  /** Every delay so far, in milliseconds. */
  end() {
    clearInterval(this.#work)
    clearTimeout(this.#timer)
    return this.#delays
  }
}

function spin() {
  const until = performance.now() + WORK_MS
  while (performance.now() < until);
}
