import assert from 'node:assert/strict'
import { test } from 'node:test'

import { journalPath } from './support/journal.mjs'
import { clientOf, simulator, until, world } from './support/world.mjs'

const TOPICS = ['a', 'b', 'c', 'd', 'e'].map((user) => `v2.users.${user}.presence`)
const STATION = 'v2.users.a.station'

// P10.1
test('a filter: what is delivered and what is not add up with what was sent, also with copies', async (t) => {
  const delivery = { topics: ['v2.users.*.presence'] }
  const { sim, client } = await world(t, { topics: [...TOPICS, STATION], continuity: 'standby', delivery })
  const seen = []
  client.on('event', ({ topicName }) => seen.push(topicName))
  await client.connect()
  await until(() => client.stats().standbyLive === 1, 'a standby')
  for (let n = 0; n < 300; n++) sim.publish(n % 3 === 0 ? STATION : TOPICS[n % 5], { n })
  await until(() => client.stats().duplicates === 300, 'every copy')
  await until(() => seen.length === 200, 'every event that passes')
  const { delivered, received, filtered, dropped, singleSided } = client.stats()
  assert.deepEqual([delivered, received, filtered, dropped, singleSided], [200, 200, 100, 0, 0])
  assert.ok(!seen.includes(STATION))
  assert.match(client.metrics(), /^genesys_notifications_events_filtered_total 100$/m)
  assert.deepEqual(client.gaps(), [])
})

// P10.1
test('a filter keeps events out of the journal, but not those that an earlier run kept', async (t) => {
  const sim = await simulator(t)
  const options = { topics: [TOPICS[0], STATION], journal: { path: await journalPath(t) } }
  const first = clientOf(t, sim, options)
  await first.connect()
  sim.publish(STATION, { n: 1 })
  await until(() => first.stats().journal.events === 1, 'one event on disk')
  await first.close()

  const second = clientOf(t, sim, { ...options, delivery: { topics: [TOPICS[0]] } })
  const seen = []
  second.on('event', ({ eventBody, redelivered }) => seen.push([eventBody.n, redelivered]))
  await second.connect()
  sim.publish(STATION, { n: 2 })
  sim.publish(TOPICS[0], { n: 3 })
  await until(() => seen.length === 2, 'both')
  assert.deepEqual(seen, [
    [1, true],
    [3, undefined],
  ])
  const { filtered, journal } = second.stats()
  assert.deepEqual([filtered, journal.events], [1, 2])
})
