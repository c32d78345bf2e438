import { COLUMNS } from '../../lib/slice.js'

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

  drain(rows, at, maxEvents) {
    this.drains++
    const header = (count, length) =>
      rows.set([count, this.#names.length, 0, isMore(), Number(this.controls.length > 0), 1, length, 0], at)
    const isMore = () => Number(this.#events.length > 0 && this.controls.length === 0)
    if (this.controls.length > 0 || this.#events.length === 0) {
      header(0, 0)
      return null
    }
    const events = this.#events.splice(0, Math.min(maxEvents, this.slice))
    let text = ''
    for (const [i, { topic, body, sequence, flags }] of events.entries()) {
      const bodyText = JSON.stringify(body)
      const start = text.length
      const prefix = `{"topicName":"${topic}","eventBody":`
      text += `${prefix}${bodyText}}\n`
      const head = [this.#name(topic), this.#name('channel'), -1, flags]
      const spans = [start, text.length - start - 1, start + prefix.length, bodyText.length, -1, -1]
      rows.set([...head, ...spans, ...halves(sequence), ...halves(Date.now()), -1, -1], at + (i + 1) * COLUMNS)
    }
    header(events.length, text.length)
    return text
  }

  shapeBodies() {}

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

function halves(number) {
  return [Math.floor(number / 2 ** 32), number | 0]
}
