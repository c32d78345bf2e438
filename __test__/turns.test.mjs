import assert from 'node:assert/strict'
import { test } from 'node:test'

import { TOPIC, until, world } from './support/world.mjs'

const EVENTS = 300

/** Hands over events that all wait; how many came between two immediates at most, and how often a timer fired. */
async function handOver(t, maxTurnMs, work) {
  const { sim, client } = await world(t, { delivery: { maxTurnMs } })
  await client.connect()
  for (let n = 0; n < EVENTS; n++) sim.publish(TOPIC, { n })
  await until(() => client.stats().received === EVENTS)

  const seen = { heard: 0, atOnce: 0, immediates: 0, timers: 0 }
  let sinceLast = 0
  const beat = () => {
    seen.immediates++
    sinceLast = 0
    if (seen.heard < EVENTS) setImmediate(beat)
  }
  setImmediate(beat)
  const timer = setInterval(() => seen.timers++, 1)
  t.after(() => clearInterval(timer))
  const isHandedOver = new Promise((resolve) => {
    client.on('event', () => {
      work()
      seen.atOnce = Math.max(seen.atOnce, ++sinceLast)
      if (++seen.heard === EVENTS) resolve({ ...seen })
    })
  })
  return isHandedOver
}

/** A listener that takes at least a millisecond. */
function workHard() {
  const until = performance.now() + 1
  while (performance.now() < until);
}

test('with maxTurnMs 1 a listener that takes 1 ms lets others run after each event', async (t) => {
  const { atOnce, immediates, timers } = await handOver(t, 1, workHard)
  t.diagnostic(`at most ${atOnce} of ${EVENTS} events at once, ${immediates} immediates, ${timers} timers`)
  assert.ok(atOnce <= 2, `${atOnce} events at once`)
  assert.ok(immediates >= EVENTS / 2, `${immediates} immediates`)
  assert.ok(timers >= EVENTS / 4, `a timer of 1 ms fired ${timers} times`)
})

test('with a long maxTurnMs all that waits is handed over in one turn', async (t) => {
  const { atOnce } = await handOver(t, 10_000, () => {})
  assert.equal(atOnce, EVENTS)
})
