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

/** A body with an entity, an array and a number. */
const body = (n) => ({
  id: `e${n}`,
  n,
  state: { name: 'on', since: n },
  participants: [{ purpose: 'agent', n }, { n }, n],
})

// P10.2, P10.3, P5.1
test(
  'select: cut bodies, whole frames otherwise, and copies told by the whole body',
  { timeout: 60_000 },
  async (t) => {
    const { sim, client } = await world(t, { topics: [], continuity: 'standby' })
    const select = ['id', 'participants.purpose']
    const combined = await client.subscribe('v2.users.a?presence&station', { select })
    assert.deepEqual(
      combined.map(({ topic, select }) => [topic, select]).sort(),
      [
        [TOPICS[0], select],
        [STATION, select],
      ].sort(),
    )
    await client.subscribe(TOPICS[1])
    const seen = []
    client.on('event', (event) => seen.push(event))
    await client.connect()
    await until(() => client.stats().standbyLive === 1, 'a standby')
    // All alike once they are cut.
    let published = 0
    const publish = (count) => {
      for (let i = 0; i < count; i++) {
        published++
        for (const topic of [TOPICS[0], STATION, TOPICS[1]]) sim.publish(topic, { ...body(0), n: published })
      }
    }
    publish(50)
    await until(() => client.stats().duplicates === 150, 'every copy')
    const rotated = client.rotate()
    publish(50)
    await rotated
    publish(50)
    await until(
      () => seen.length === 3 * published,
      () => `${seen.length} of ${3 * published}`,
    )
    assert.equal(client.stats().delivered, 3 * published)
    for (const { topicName, eventBody, raw, metadata, version } of seen) {
      const frame = JSON.parse(raw)
      assert.deepEqual(frame.eventBody, eventBody)
      assert.deepEqual([frame.topicName, frame.metadata, frame.version], [topicName, metadata, version])
      assert.match(metadata.CorrelationId, /./)
      if (topicName === TOPICS[1]) assert.deepEqual(eventBody, { ...body(0), n: eventBody.n })
      else assert.deepEqual(eventBody, { id: 'e0', participants: [{ purpose: 'agent' }, {}] })
    }
    assert.deepEqual(client.gaps(), [])

    await client.subscribe(TOPICS[0], {})
    assert.deepEqual(Object.keys(client.topics().find(({ topic }) => topic === TOPICS[0])), ['topic', 'state', 'shard'])
    await client.setTopics([STATION, TOPICS[2]])
    assert.deepEqual(
      client
        .topics()
        .map(({ topic, select }) => [topic, select])
        .sort(),
      [
        [STATION, select],
        [TOPICS[2], undefined],
      ].sort(),
    )
  },
)

// P10.4
test('conflate: at most so many a second, and always the last', { timeout: 60_000 }, async (t) => {
  const { sim, client } = await world(t, { topics: [STATION], delivery: { topics: ['v2.users.*.presence'] } })
  const maxPerSecond = 5
  const statuses = await client.subscribe(TOPICS, { conflate: { maxPerSecond }, select: ['n'] })
  assert.ok(statuses.every(({ conflate }) => conflate.maxPerSecond === maxPerSecond))
  const seen = new Map(TOPICS.map((topic) => [topic, []]))
  client.on('event', ({ topicName, eventBody, receivedAt }) => seen.get(topicName).push({ ...eventBody, receivedAt }))
  await client.connect()
  const begin = performance.now()
  const last = new Map()
  let published = 0
  while (published < 600) {
    // 200 a second.
    await until(() => performance.now() - begin >= published * 5)
    const topic = TOPICS[published % 5]
    last.set(topic, ++published)
    sim.publish(topic, { n: published, state: 'x'.repeat(100) })
    if (published % 10 === 0) sim.publish(STATION, { n: published })
  }
  const isComplete = () => TOPICS.every((topic) => seen.get(topic).at(-1)?.n === last.get(topic))
  await until(isComplete, 'the last of each topic')
  const elapsed = performance.now() - begin
  for (const [topic, events] of seen) {
    const most = 1 + Math.floor((elapsed / 1_000) * maxPerSecond)
    assert.ok(events.length > 5 && events.length <= most, `${topic}: ${events.length} of at most ${most}`)
    assert.ok(events.every(({ n }, i) => i === 0 || n > events[i - 1].n))
    assert.ok(events.every((event) => event.state === undefined))
  }
  await until(() => client.stats().filtered === 60, 'all that is filtered')
  const { delivered, conflated, dropped, filtered, duplicates, received, queue } = client.stats()
  assert.equal(delivered + conflated, 600)
  assert.deepEqual([received, dropped, duplicates, queue.events], [600, 0, 0, 0])
  assert.equal(delivered + conflated + filtered, sim.counts().published)
  assert.match(client.metrics(), new RegExp(`^genesys_notifications_events_conflated_total ${conflated}$`, 'm'))
  assert.deepEqual(client.gaps(), [])
})

// P10.4
test('conflate: what waits comes before the end, and not beside a journal', async (t) => {
  const { sim, client } = await world(t, { topics: [] })
  await client.subscribe(TOPICS[0], { conflate: { maxPerSecond: 0.01 } })
  const seen = []
  client.on('event', ({ eventBody }) => seen.push(eventBody.n))
  await client.connect()
  for (const n of [1, 2, 3]) sim.publish(TOPICS[0], { n })
  await until(() => client.stats().received === 3 && seen.length > 0, 'all are received and the first is told')
  assert.deepEqual([seen, client.stats().conflated, client.stats().queue.events], [[1], 1, 1])
  await client.close({ drainMs: 5_000 })
  assert.deepEqual(seen, [1, 3])

  const kept = clientOf(t, sim, { journal: { path: await journalPath(t) } })
  await assert.rejects(kept.subscribe(TOPICS[0], { conflate: { maxPerSecond: 1 } }), {
    path: 'conflate',
    code: 'INVALID_OPTION',
    message: /journal/,
  })
})
