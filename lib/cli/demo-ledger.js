'use strict'

/** Compares what the simulator published with what was delivered, and with the gaps. */
class Ledger {
  #sim
  #client
  #delivered = new Map()

  constructor(sim, client) {
    this.#sim = sim
    this.#client = client
    client.on('event', (event) => {
      const id = event.metadata.CorrelationId
      this.#delivered.set(id, (this.#delivered.get(id) ?? 0) + 1)
    })
  }

  /** Waits until the client is connected, no gap is open, and nothing is on its way any more. */
  async settle(withinMs) {
    const deadline = Date.now() + withinMs
    let last = -1
    while (Date.now() < deadline) {
      const { state, gaps, queue } = this.#client.stats()
      const isQuiet = this.#delivered.size === last && queue.events === 0
      if (state === 'connected' && gaps.open === 0 && isQuiet) return
      last = this.#delivered.size
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }

  summary() {
    const gaps = this.#client.gaps()
    const unreported = []
    let events = 0
    let reportedLoss = 0
    for (const event of this.#sim.log().events) {
      events++
      if (this.#delivered.has(event.correlationId)) continue
      if (gaps.some((gap) => covers(gap, event))) reportedLoss++
      else unreported.push(event)
    }
    let duplicates = 0
    for (const times of this.#delivered.values()) duplicates += times - 1
    return {
      events,
      delivered: this.#delivered.size,
      reportedLoss,
      unreportedLoss: unreported.length,
      duplicates,
      gaps: gaps.length,
      ...(unreported.length > 0 && { unreported: unreported.slice(0, 5) }),
    }
  }
}

/** Gaps are exact by the clock of the socket: when the frame was written, if it was, and not when it was published. */
function covers(gap, { at, deliveries, topic }) {
  const sentAt = Math.max(at, ...deliveries.map((delivery) => delivery.at ?? at))
  return gap.from <= sentAt && (gap.to === null || sentAt <= gap.to) && gap.topics.includes(topic)
}

module.exports = { Ledger }
