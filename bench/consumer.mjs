// A client that parses every body, with or without a journal, and says what that cost.
import process from 'node:process'

import { NotificationClient } from '../index.js'

process.once('disconnect', () => process.exit())
process.once('message', async ({ region, credentials, topic, journal, count }) => {
  const client = new NotificationClient({ region, credentials, topics: [topic], ...(journal && { journal }) })
  const at = []
  let [bytes, first, before, next] = [0, 0, undefined, undefined]
  client.on('event', (event) => {
    if (at.length === 0) [first, before, next] = [performance.now(), process.cpuUsage(), event.sequence]
    if (typeof event.eventBody !== 'object') throw new TypeError('a body that is no object')
    bytes += event.raw.length
    at.push(Date.now())
    next++
    if (at.length === count) finish(event)
  })
  function finish(last) {
    const elapsedMs = performance.now() - first
    const { user, system } = process.cpuUsage(before)
    const peakBytes = process.resourceUsage().maxRSS * 1_024
    const lost = last.sequence + 1 - next
    process.send({ at, elapsedMs, cpuMicros: user + system, peakBytes, bytes, lost })
  }
  await client.connect()
  process.send({ ready: true })
})
