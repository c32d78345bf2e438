// A listener that takes its time.
import process from 'node:process'

/** Spends `eachMs` with every event in the first `forMs`, and then none. */
export class Slowness {
  #eachMs
  #forMs
  #begin
  #halfway
  #end

  constructor({ eachMs, forMs }) {
    this.#eachMs = eachMs
    this.#forMs = forMs
  }

  endure() {
    if (this.#end !== undefined) return
    this.#begin ??= performance.now()
    const until = performance.now() + this.#eachMs
    while (performance.now() < until);
    if (until >= this.#begin + this.#forMs / 2) this.#halfway ??= process.memoryUsage.rss()
    if (until >= this.#begin + this.#forMs) this.#end = process.memoryUsage.rss()
  }

  /** By how much the process grew in the second half. */
  get grownBytes() {
    return this.#end - this.#halfway
  }
}
