import { COLUMNS } from '../../lib/event.js'

/** A native client that hands out what a test puts in, in slices of at most `slice` events. */
export class FakeNative {
  controls = []
  acks = []
  drains = 0
  #events = []
  #names = []
  #announced = 0
  #sequence = 0

  constructor({ slice = 64 } = {}) {
    this.slice = slice
  }

  add(count, { topic = 'v2.users.u.presence', flags = 0 } = {}) {
    for (let i = 0; i < count; i++)
      this.#events.push({ topic, body: { n: this.#sequence + 1 }, sequence: ++this.#sequence, flags })
  }

  get waiting() {
    return this.#events.length
  }

  takeControls() {
    if (this.controls.length === 0) return null
    return JSON.stringify(this.controls.splice(0))
  }

  drain(rows, maxEvents) {
    this.drains++
    if (this.controls.length > 0 || this.#events.length === 0) return null
    const events = this.#events.splice(0, Math.min(maxEvents, this.slice))
    let text = ''
    for (const [i, { topic, body, sequence, flags }] of events.entries()) {
      const bodyText = JSON.stringify(body)
      const start = text.length
      const prefix = `{"topicName":"${topic}","eventBody":`
      text += `${prefix}${bodyText}}`
      const row = [this.#name(topic), this.#name('channel'), -1, start, text.length - start, start + prefix.length]
      rows.set([...row, bodyText.length, -1, -1, sequence, Date.now(), flags], 2 + i * COLUMNS)
    }
    rows[0] = events.length
    rows[1] = this.#names.length
    return text
  }

  takeNames() {
    return this.#names.slice(this.#announced, (this.#announced = this.#names.length))
  }

  ack(upTo) {
    this.acks.push(upTo)
  }

  #name(name) {
    if (!this.#names.includes(name)) this.#names.push(name)
    return this.#names.indexOf(name)
  }
}
