import assert from 'node:assert/strict'
import { test } from 'node:test'

import { ConfigurationError, ServiceError } from '../index.js'
import { directClient, endpoints } from './support/direct.mjs'
import { range } from './support/journal.mjs'
import { simulator, until } from './support/world.mjs'

const TOPIC = 'queue/7 of any name'

/** The numbers of the events a client delivers, in order. */
function numbersOf(client) {
  const numbers = []
  client.on('event', ({ eventBody }) => numbers.push(eventBody.n))
  return numbers
}

function publish(sim, from, to, topic = TOPIC) {
  for (const n of range(from, to)) sim.publish(topic, { n })
}

const sorted = (numbers) => numbers.toSorted((a, b) => a - b)

for (const [name, token] of Object.entries({
  query: 'valid',
  inUrl: 'valid',
  header: 'valid',
  firstMessage: 'valid',
  since: 'valid',
  open: 'none',
})) {
  test(`an endpoint of the kind "${name}" is listened to, and told its token where it expects it`, async (t) => {
    const sim = await simulator(t)
    const client = directClient(t, sim, endpoints(sim)[name], { topics: [TOPIC] })
    const events = []
    client.on('event', (event) => events.push(event))
    assert.equal(client.stats().direct.life, token === 'none' ? 'opening' : 'awaitingToken')
    await client.connect()
    sim.publish(TOPIC, { n: 1, text: 'ü €' })
    await until(() => events.length === 1)

    const [event] = events
    assert.deepEqual([event.topicName, event.eventBody], [TOPIC, { n: 1, text: 'ü €' }])
    assert.deepEqual(JSON.parse(event.raw).eventBody, event.eventBody)
    assert.deepEqual([event.origin, event.sequence, event.redelivered], ['live', 1, undefined])
    assert.equal(client.stats().direct.life, 'live')
    assert.deepEqual(
      client.topics().map(({ topic, state }) => [topic, state]),
      [[TOPIC, 'subscribed']],
    )
    const [connection] = sim.log().gateway
    assert.deepEqual([connection.status, connection.token, connection.earlyFrames], [101, token, 0])
    assert.equal(client.stats().tokenRequests, token === 'none' ? 0 : 1)
    await client.close()
    assert.deepEqual(client.gaps(), [])
  })
}

test('without topics everything is delivered, and a gap names *', async (t) => {
  const sim = await simulator(t)
  const client = directClient(t, sim, endpoints(sim).query)
  const numbers = numbersOf(client)
  await client.connect()
  publish(sim, 1, 1)
  publish(sim, 2, 2, 'another')
  await until(() => numbers.length === 2)
  sim.fault({ match: { operation: 'socket' }, action: { kind: 'reset' } })
  const gap = await until(() => client.gaps().find(({ to }) => to !== null))
  assert.deepEqual([gap.topics, client.topics()], [['*'], []])
})

test('topics that are added while the connection is lost are asked for with the others, once it is ready', async (t) => {
  const sim = await simulator(t, { gateway: { readyDelayMs: 50 } })
  const client = directClient(t, sim, endpoints(sim).firstMessage, { topics: ['a'] })
  const events = []
  client.on('event', ({ topicName }) => events.push(topicName))
  await client.connect()
  const refusal = sim.fault({ match: { operation: 'upgrade' }, action: { kind: 'refuse' }, times: null })
  sim.fault({ match: { operation: 'socket' }, action: { kind: 'reset' } })
  await until(() => client.state === 'reconnecting')
  const added = client.subscribe(['b', '{"quoted"}'])
  assert.deepEqual(client.topics().map(({ topic }) => topic).sort(), ['a', 'b', '{"quoted"}'].sort()) // prettier-ignore
  refusal.clear()
  const statuses = await added
  assert.deepEqual(
    statuses.map(({ topic, state }) => [topic, state]),
    [
      ['b', 'subscribed'],
      ['{"quoted"}', 'subscribed'],
    ],
  )
  const last = sim.log().gateway.at(-1)
  assert.deepEqual(last.asked.map(({ topic }) => topic).sort(), ['a', 'b', '{"quoted"}'].sort()) // prettier-ignore
  for (const { at } of last.asked) assert.ok(at >= last.readyAt)
  for (const topic of ['{"quoted"}', 'b', 'a']) sim.publish(topic, {})
  await until(() => events.length === 3)
  assert.deepEqual(events, ['{"quoted"}', 'b', 'a'])
  assert.ok(sim.log().gateway.every(({ earlyFrames }) => earlyFrames === 0))
})

test('a token is renewed with the first message again, whose acknowledgement is no event', async (t) => {
  const sim = await simulator(t, { tokenLifeMs: 600 })
  const client = directClient(t, sim, { ...endpoints(sim).firstMessage, renewal: 'message' }, { topics: [TOPIC] })
  const numbers = numbersOf(client)
  await client.connect()
  let n = 0
  await until(() => {
    publish(sim, ++n, n)
    return sim.log().gateway[0].renewals >= 2
  })
  await until(() => numbers.length === n)
  assert.deepEqual(numbers, range(1, n))
  assert.deepEqual([sim.log().gateway.length, client.stats().drops, client.gaps()], [1, 0, []])
})

test('a token is renewed with an overlapping connection, and nothing is lost or comes twice', async (t) => {
  const sim = await simulator(t, { tokenLifeMs: 600 })
  const client = directClient(t, sim, endpoints(sim).since)
  const numbers = numbersOf(client)
  await client.connect()
  let n = 0
  await until(() => {
    publish(sim, ++n, n)
    return sim.log().gateway.length >= 4
  })
  await until(() => new Set(numbers).size === n)
  assert.deepEqual(sorted(numbers), range(1, n))
  assert.deepEqual(client.gaps(), [])
  assert.ok(sim.log().gateway.every(({ token }) => token === 'valid'))
})

test('a stream that is killed again and again goes on where it was: nothing is lost, nothing comes twice', async (t) => {
  const sim = await simulator(t)
  const client = directClient(t, sim, endpoints(sim).since)
  const numbers = numbersOf(client)
  await client.connect()
  let n = 0
  for (let kills = 1; kills <= 10; kills++) {
    // Several of one millisecond, on both sides of the end.
    publish(sim, n + 1, n + 5)
    sim.fault({ match: { operation: 'socket' }, action: { kind: 'reset' } })
    publish(sim, n + 6, (n += 10))
    await until(() => client.stats().drops === kills && client.stats().direct.life === 'live')
  }
  await until(
    () => new Set(numbers).size === n,
    () => `${n} published, ${new Set(numbers).size} delivered`,
  )
  assert.deepEqual(sorted(numbers), range(1, n))
  const { direct } = client.stats()
  assert.deepEqual([direct.resumed >= 10, direct.repositions], [true, 0])
  assert.match(client.metrics(), /^genesys_notifications_direct_resumed_total \d\d/m)
})

test('a position that the server does not know any more is a gap, and a fresh one is taken', async (t) => {
  const sim = await simulator(t, { gateway: { retentionEvents: 5 } })
  const client = directClient(t, sim, endpoints(sim).since)
  const errors = []
  client.on('error', (error) => errors.push(error))
  const numbers = numbersOf(client)
  await client.connect()
  publish(sim, 1, 2)
  await until(() => numbers.length === 2)
  const refusal = sim.fault({ match: { operation: 'upgrade' }, action: { kind: 'refuse' }, times: null })
  sim.fault({ match: { operation: 'socket' }, action: { kind: 'reset' } })
  await until(() => client.state === 'reconnecting')
  publish(sim, 3, 20)
  refusal.clear()
  const gap = await until(() => client.gaps().find(({ to }) => to !== null))
  assert.deepEqual([gap.topics, gap.certainty], [['*'], 'certain'])
  const error = errors.find(({ code }) => code === 'POSITION_REFUSED')
  assert.ok(error instanceof ServiceError)
  assert.equal(error.status, 400)
  assert.equal(client.stats().direct.repositions, 1)
  assert.match(client.metrics(), /^genesys_notifications_direct_repositions_total 1$/m)
  await client.connect()
  publish(sim, 21, 21)
  await until(() => numbers.includes(21))
})

test('batches, pointers and numbers as positions are read as the endpoint says', async (t) => {
  const sim = await simulator(t, { gateway: { positions: 'sequence' } })
  const endpoint = {
    url: `${endpoints(sim).since.url}?since={cursor}`,
    event: { topic: '/topicName', body: '/eventBody/inner', id: '/id' },
    resume: { pointer: '/sequence', initial: '0', inclusive: true },
  }
  const client = directClient(t, sim, endpoint)
  const bodies = []
  client.on('event', ({ eventBody }) => bodies.push(eventBody))
  await client.connect()
  sim.publish(TOPIC, { inner: [1] })
  sim.publish(TOPIC, { other: 1 })
  sim.publish(TOPIC, { inner: null })
  await until(() => bodies.length === 2)
  assert.deepEqual(bodies, [[1], null])
  assert.equal(client.stats().direct.position, '3')
})

test('an endpoint that never says that it is ready is not connected to, and the error says so', async (t) => {
  const sim = await simulator(t)
  const ready = { pointer: '/event', equals: 'never', timeoutMs: 50 }
  const client = directClient(t, sim, { ...endpoints(sim).firstMessage, ready }, { topics: [TOPIC] })
  const changes = []
  client.on('state', (change) => changes.push(change))
  client.connect()
  const { error } = await until(() => changes.find(({ reason }) => reason === 'not_ready'))
  assert.ok(error instanceof ServiceError && error.retryable)
  assert.deepEqual([error.code, /endpoint\.ready/.test(error.hint)], ['NOT_READY', true])
  assert.ok(sim.log().gateway.every(({ asked }) => asked.length === 0))
  assert.notEqual(client.state, 'connected')
})

test('names of topics are any texts, except empty, too long or with control characters', async (t) => {
  const sim = await simulator(t)
  const client = directClient(t, sim, endpoints(sim).open, { topics: 'ä'.repeat(1_000) })
  assert.equal(client.topics()[0].topic, 'ä'.repeat(1_000))
  await client.subscribe('v2.users.{id}.presence?a&b')
  for (const name of ['', 'x'.repeat(1_001), 'a\nb', 5]) {
    await assert.rejects(
      client.subscribe([TOPIC, name]),
      (error) => error instanceof ConfigurationError && error.path === 'topics[1]',
      JSON.stringify(name),
    )
  }
  assert.equal(client.topics().length, 2)
})

test('what the core alone can see in a template is refused, and never shown', async (t) => {
  const sim = await simulator(t)
  const { open, query } = endpoints(sim)
  const wrong = [
    [{ ...open, url: `${open.url}?canary={since}` }, 'endpoint.url'],
    [{ ...query, url: `${query.url}#canary` }, 'endpoint.url'],
    [{ ...query, firstMessage: '{"canary":"{tokn}"}' }, 'endpoint.firstMessage'],
    [{ ...query, resume: { parameter: 'access_token', pointer: '/x' } }, 'endpoint.resume.parameter'],
  ]
  for (const [endpoint, path] of wrong) {
    assert.throws(
      () => directClient(t, sim, endpoint),
      (error) => error instanceof ConfigurationError && error.path === path && !error.message.includes('canary'),
      path,
    )
  }
})
