import assert from 'node:assert/strict'
import { test } from 'node:test'

import { TOPIC, until, world } from './support/world.mjs'

/** Random numbers that are the same in each run. */
function random(seed) {
  return () => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0
    return seed / 2 ** 32
  }
}

const KEYS = ['id', 'name', '__proto__', '10', '2', '', 'é', '漢', 'a"b\\', 'constructor', 'participants']
const SCALARS = [null, true, false, 0, -1.5e-7, 9007199254740991, '', 'x', 'Müller', '漢字 😀', '"\\\n\u2028']

/** A body of one of a few shapes, with any values. */
function body(next, depth = 0) {
  const kind = Math.floor(next() * 10)
  if (depth > 4 || kind < 5) return SCALARS[Math.floor(next() * SCALARS.length)]
  if (kind < 7) return Array.from({ length: Math.floor(next() * 4) }, () => body(next, depth + 1))
  return object(next, depth)
}

function object(next, depth) {
  // Few different sets of keys, in different orders.
  const first = Math.floor(next() * KEYS.length)
  const entries = Array.from({ length: 1 + Math.floor(next() * 3) }, (_, i) => [
    KEYS[(first + i * 3) % KEYS.length],
    body(next, depth + 1),
  ])
  return Object.fromEntries(entries)
}

// P11.1
for (const bodies of ['text', 'shaped', 'auto']) {
  test(`bodies: '${bodies}' gives what JSON.parse makes of the text`, async (t) => {
    const { sim, client } = await world(t, { delivery: { bodies } })
    await client.connect()
    const next = random(7)
    const events = []
    let read = 0
    // Values are a list, and no body here is one.
    const parsed = t.mock.method(JSON, 'parse')
    client.on('event', (event) => {
      events.push(event)
      // Now, later, and one by one.
      if (bodies === 'auto' || next() < 0.5) read += Number(event.eventBody !== undefined)
    })
    const sent = Array.from({ length: 3_000 }, () => object(next, 0))
    for (let i = 0; i < sent.length; i += 1_000) {
      for (const one of sent.slice(i, i + 1_000)) sim.publish(TOPIC, one)
      await until(() => events.length === i + 1_000)
    }
    assert.ok(read > 0)
    const lists = parsed.mock.calls.filter((call) => String(call.arguments[0]).startsWith('[')).length
    parsed.mock.restore()
    assert.equal(lists > 0, bodies !== 'text', `${lists} lists of values`)
    for (const [i, event] of events.entries()) {
      const expected = JSON.parse(event.raw).eventBody
      assert.equal(JSON.stringify(expected), JSON.stringify(sent[i]))
      // Also the order of its keys, and that they are its own.
      assert.equal(JSON.stringify(event.eventBody), JSON.stringify(expected))
      assert.equal(Object.getPrototypeOf(event.eventBody), Object.prototype)
      assert.deepEqual(event.eventBody, expected)
    }
  })
}

test('large bodies come shaped as well', async (t) => {
  const { sim, client } = await world(t, { delivery: { bodies: 'shaped' } })
  await client.connect()
  const events = []
  client.on('event', (event) => events.push(event))
  const item = (i) => ({ id: `p${i}`, name: 'Müller 漢', calls: [{ id: i, state: 'connected', held: false }] })
  const sent = Array.from({ length: 30 }, (_, n) => ({
    id: n,
    participants: Array.from({ length: 900 }, (_, i) => item(i)),
  }))
  for (const one of sent) sim.publish(TOPIC, one)
  await until(() => events.length === sent.length)
  assert.deepEqual(
    events.map((event) => event.eventBody),
    sent,
  )
})
