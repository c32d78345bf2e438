import assert from 'node:assert/strict'
import { test } from 'node:test'

import { TOPIC, account, collect, until, world } from './support/world.mjs'

const kill = { match: { operation: 'socket' }, action: { kind: 'reset' } }

test('a stalled socket is noticed within silenceMs + 1 s', async (t) => {
  const { sim, client } = await world(t)
  await client.connect()
  const states = []
  client.on('state', (change) => states.push({ ...change, at: Date.now() }))
  const begin = Date.now()
  sim.fault({ match: { operation: 'socket' }, action: { kind: 'stall' } })
  const noticed = await until(() => states.find(({ state }) => state === 'reconnecting'))
  assert.equal(noticed.reason, 'silence')
  assert.equal(noticed.error.code, 'SILENT_SOCKET')
  const tookMs = noticed.at - begin
  t.diagnostic(`noticed after ${tookMs} ms with silenceMs 1000`)
  assert.ok(tookMs <= 2_000, `${tookMs} ms`)
  await client.connect()
})

test('of 1,200 topics with one forbidden 1,199 are live, and one is rejected with its missing permission', async (t) => {
  const forbidden = 'v2.routing.queues.q700.users'
  const topics = Array.from({ length: 1_200 }, (_, i) => `v2.routing.queues.q${i}.users`)
  const { sim, client } = await world(t, {
    topics,
    sim: { forbidden: [{ topic: forbidden, missingPermissions: ['routing:queue:view'] }] },
  })
  const seen = collect(client)
  await client.connect()
  const statuses = client.topics()
  assert.equal(statuses.filter(({ state }) => state === 'subscribed').length, 1_199)
  const rejected = statuses.filter(({ state }) => state === 'rejected')
  assert.deepEqual(
    rejected.map(({ topic, missingPermissions }) => [topic, missingPermissions]),
    [[forbidden, ['routing:queue:view']]],
  )
  assert.equal(sim.channels().filter(({ connected }) => connected).length, 2)
  for (const topic of topics) sim.publish(topic, { topic })
  await until(() => seen.size === 1_199)
  assert.equal(client.gaps().length, 0)
})

test('topics that share all but their last part share a name, and need fewer channels', async (t) => {
  const kinds = ['presence', 'routingStatus', 'station', 'geolocation']
  const topics = Array.from({ length: 300 }, (_, i) => kinds.map((kind) => `v2.users.u${i}.${kind}`)).flat()
  const { sim, client } = await world(t, { topics })
  await client.connect()
  assert.equal(client.topics().filter(({ state }) => state === 'subscribed').length, 1_200)
  const [channel, ...others] = sim.channels()
  assert.equal(others.length, 0)
  assert.equal(channel.topics.length, 300)
})

test('no incident costs more than two channels, a second token request or a Retry-After', async (t) => {
  const topics = Array.from({ length: 20 }, (_, i) => `v2.routing.queues.q${i}.users`)
  const { sim, client } = await world(t, { topics })
  client.on('error', () => {})
  await client.connect()
  const status = (operation, status, more) =>
    sim.fault({ match: { operation }, action: { kind: 'status', status, ...more } })
  const onSocket = (kind) => sim.fault({ match: { operation: 'socket' }, action: { kind } })
  const incidents = {
    ...Object.fromEntries(Array.from({ length: 10 }, (_, i) => [`kill ${i}`, () => sim.fault(kill)])),
    'refused upgrades': () => [status('upgrade', 503), status('upgrade', 503), sim.fault(kill)],
    401: () => [status('createChannel', 401), status('putSubscriptions', 401), onSocket('expire')],
    500: () => [status('createChannel', 500), status('putSubscriptions', 500), onSocket('expire')],
    429: () => [status('createChannel', 429, { retryAfter: 1 }), onSocket('expire')],
    eviction: () => onSocket('evict'),
    'expired token': () => onSocket('revoke'),
  }
  const carried = () => {
    const open = sim.channels().filter(({ connected }) => connected)
    return open.length === 1 ? [...open[0].topics].sort() : undefined
  }
  const isMended = (before) =>
    client.state === 'connected' &&
    client.stats().gaps.open === 0 &&
    carried() &&
    client.stats().drops + client.stats().rotations > before

  for (const [what, strike] of Object.entries(incidents)) {
    const { drops, rotations } = client.stats()
    const channels = sim.log().channels.length
    strike()
    await until(() => isMended(drops + rotations), what)
    assert.deepEqual(carried(), [...topics].sort(), what)
    // Channels that came to be; a creation that was refused made none.
    const cost = sim.log().channels.length - channels
    assert.ok(cost <= 2, `${what}: ${cost} channels`)
  }

  const { requests } = sim.log()
  const tokens = requests.filter(({ operation }) => operation === 'token')
  assert.ok(tokens.length > 1 && tokens.every(({ concurrent }) => concurrent === 1))
  const refused = requests.findIndex(({ retryAfter }) => retryAfter === '1')
  const next = requests.slice(refused + 1).find(({ operation }) => operation === 'createChannel')
  assert.ok(refused >= 0 && next.at - requests[refused].at >= 1_000, `${next.at - requests[refused].at} ms`)
})

test('ten kills, refused upgrades, 401s, 500s, an eviction and an expired token: every event is accounted for', async (t) => {
  const { sim, client } = await world(t, { sim: { tokenLifeMs: 1_500 } })
  const seen = collect(client)
  const states = []
  client.on('state', ({ state }) => states.push(state))
  client.on('error', () => {})
  await client.connect()
  const traffic = sim.traffic({ ratePerSecond: 500, topics: [TOPIC] })
  const connected = (what) => until(() => client.state === 'connected' && client.stats().gaps.open === 0, what)
  const lost = (count) => until(() => client.stats().drops >= count, `drop ${count}`)

  for (let i = 1; i <= 10; i++) {
    sim.fault(kill)
    await until(() => client.gaps().length >= i, `gap ${i}`)
    await connected(`kill ${i}`)
  }

  sim.fault({ match: { operation: 'upgrade' }, action: { kind: 'status', status: 503 }, times: 2 })
  sim.fault({ match: { operation: 'upgrade' }, action: { kind: 'refuse' } })
  sim.fault(kill)
  await lost(11)
  await connected('refused upgrades')

  sim.fault({ match: { operation: 'rest' }, action: { kind: 'status', status: 401 } })
  sim.fault({ match: { operation: 'createChannel' }, action: { kind: 'status', status: 500 }, times: 2 })
  sim.fault({ match: { operation: 'putSubscriptions' }, action: { kind: 'status', status: 500 }, times: 2 })
  sim.fault({ match: { operation: 'socket' }, action: { kind: 'expire' } })
  await lost(12)
  await connected('401s and 500s')

  sim.fault({ match: { operation: 'socket' }, action: { kind: 'evict' } })
  await until(() => sim.log().channels.some(({ ended }) => ended === 'evicted'))
  await connected('eviction')

  const outage = sim.fault({ match: { operation: 'token' }, action: { kind: 'status', status: 503 }, times: null })
  await until(() => client.stats().tokenExpiresInMs === null, 'the token expired')
  await until(() => client.stats().gaps.open > 0, 'the channel went with it')
  outage.clear()
  await connected('expired token')

  traffic.stop()
  await until(() => client.stats().queue.events === 0)
  await until(async () => {
    const { size } = seen
    await new Promise((resolve) => setTimeout(resolve, 100))
    return seen.size === size
  }, 'quiet')
  const { published, delivered, reported, unreported, duplicates } = account(sim, client, seen)
  t.diagnostic(`${published} published, ${delivered} delivered, ${reported} in ${client.gaps().length} gaps`)
  assert.deepEqual(unreported, [])
  assert.equal(duplicates, 0)
  assert.ok(delivered > 0 && delivered + reported === published)
  assert.ok(!states.includes('failed'))
})

test('planned changes lose nothing: tokens, channels and maintenance', async (t) => {
  const { sim, client } = await world(t, {
    sim: { tokenLifeMs: 1_000, channelLifeMs: 1_500, maintenanceGraceMs: 500 },
  })
  const seen = collect(client)
  await client.connect()
  const traffic = sim.traffic({ ratePerSecond: 500 })
  await until(() => client.stats().rotations >= 3)
  sim.fault({ match: { operation: 'socket' }, action: { kind: 'socketClosing' } })
  const before = client.stats().rotations
  await until(() => client.stats().rotations > before)
  traffic.stop()
  await until(() => seen.size === sim.counts().published)
  assert.deepEqual(client.gaps(), [])
  const { unreported, duplicates } = account(sim, client, seen)
  assert.deepEqual([unreported, duplicates], [[], 0])
})

test('copies of two overlapping channels are delivered once, real repeats twice', async (t) => {
  const { sim, client } = await world(t, { rotation: { overlapMs: 500 } })
  const bodies = []
  client.on('event', ({ eventBody }) => bodies.push(eventBody.n))
  await client.connect()
  const rotating = client.rotate()
  for (let n = 0; n < 200; n++) {
    sim.publish(TOPIC, { n })
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
  await rotating
  await until(() => bodies.length >= 200)
  assert.deepEqual(
    bodies.toSorted((a, b) => a - b),
    Array.from({ length: 200 }, (_, n) => n),
  )
  sim.publish(TOPIC, { n: 'again' })
  sim.publish(TOPIC, { n: 'again' })
  await until(() => bodies.filter((n) => n === 'again').length === 2)
})
