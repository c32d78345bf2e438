'use strict'

const { WORDS } = require('./diagnostics')

/** What happens, as it happens: readable lines, or JSON lines. */
class Timeline {
  #asJson
  #begin = Date.now()
  #timer
  #events = 0
  #said = new Set()

  constructor(asJson) {
    this.#asJson = asJson
  }

  note(text) {
    this.#write({ type: 'note', text }, text)
  }

  fault(text) {
    this.#said.clear()
    this.#write({ type: 'fault', text }, `▶ ${text}`)
  }

  follow(client) {
    client.on('event', () => this.#events++)
    client.on('state', (value) => this.#happened('state', value, this.#isNews(`${value.state} ${value.reason}`)))
    client.on('gap', (value) => this.#happened('gap', value, true))
    client.on('error', (value) => this.#happened('error', value, this.#isNews(value.code)))
    client.on('topic', (status) => {
      if (status.state === 'rejected') this.#write({ type: 'topic', value: status }, `    ${WORDS.topic(status)}`)
    })
    let last = 0
    this.#timer = setInterval(() => {
      const { state, gaps, delivered, duplicates } = client.stats()
      const perSecond = this.#events - last
      last = this.#events
      const counts = {
        state,
        eventsPerSecond: perSecond,
        delivered,
        duplicatesDropped: duplicates,
        gaps: gaps.total,
        openGaps: gaps.open,
      }
      const text = `${state.padEnd(12)} ${String(perSecond).padStart(5)} events/s  ${delivered} delivered  ${gaps.total} gaps${gaps.open > 0 ? ', one open' : ''}`
      this.#write({ type: 'rate', ...counts }, text)
    }, 1_000)
  }

  /** For people, what repeats itself between two faults is said once; JSON has it all. */
  #isNews(what) {
    if (this.#asJson) return true
    const isNew = !this.#said.has(what) || what.startsWith('connected')
    this.#said.add(what)
    return isNew
  }

  #happened(type, value, isTold) {
    if (isTold) this.#write({ type, value }, `    ${WORDS[type](value)}`)
  }

  stop() {
    clearInterval(this.#timer)
  }

  summary(summary) {
    if (this.#asJson) {
      process.stdout.write(`${JSON.stringify({ summary })}\n`)
      return
    }
    const { events, delivered, reportedLoss, unreportedLoss, duplicates, gaps } = summary
    const lines = [
      ['published', reportedLoss === null ? 'unknown' : events],
      ['delivered', delivered],
      ['in reported gaps', reportedLoss ?? 'unknown'],
      [
        'unreported',
        reportedLoss === null
          ? 'unknown'
          : `${unreportedLoss}${unreportedLoss === 0 ? '  (as it must be)' : '  THIS IS A DEFECT'}`,
      ],
      ['duplicates', duplicates],
      ['gaps reported', gaps],
    ]
    process.stdout.write(`\nSummary\n${lines.map(([name, value]) => `  ${name.padEnd(18)} ${value}`).join('\n')}\n`)
    for (const event of summary.unreported ?? []) process.stdout.write(`  lost: ${JSON.stringify(event)}\n`)
  }

  #write(line, text) {
    const t = Date.now() - this.#begin
    process.stdout.write(
      this.#asJson ? `${JSON.stringify({ t, ...line })}\n` : `${(t / 1000).toFixed(1).padStart(6)} s  ${text}\n`,
    )
  }
}

module.exports = { Timeline }
