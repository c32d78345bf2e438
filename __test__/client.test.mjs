import assert from 'node:assert/strict'
import { on, once } from 'node:events'
import { test } from 'node:test'
import { inspect } from 'node:util'

import { AuthenticationError, ClosedError, NotificationClient, TopicError } from '../index.js'
import { TOPIC, clientOf, simulator, until, world } from './support/world.mjs'

test('an event carries the service’s own names, and its body is parsed once', async (t) => {
  const { sim, client } = await world(t)
  await client.connect()
  const [[event]] = await Promise.all([
    once(client, 'event'),
    sim.publish(TOPIC, { id: 'u', name: '漢字 é "quoted"', n: 1 }),
  ])
  assert.equal(event.topicName, TOPIC)
  assert.equal(event.eventBody.name, '漢字 é "quoted"')
  assert.equal(event.eventBody, event.eventBody)
  assert.equal(event.version, '2')
  assert.match(event.metadata.CorrelationId, /^[0-9a-f-]{36}$/)
  assert.equal(event.sequence, 1)
  assert.equal(event.origin, 'live')
  assert.ok(Math.abs(Date.now() - event.receivedAt) < 5_000)
  assert.deepEqual(JSON.parse(event.raw).eventBody, event.eventBody)
  const { topicName, eventBody } = event
  assert.deepEqual(JSON.parse(JSON.stringify(event)).eventBody, eventBody)
  assert.match(inspect(event), new RegExp(`NotificationEvent \\{\\s+topicName: '${topicName}'`))
  assert.ok(!inspect(event).includes(event.channelId))
})

test('what the service left out is undefined, and a null body is null', async (t) => {
  const { sim, client } = await world(t)
  await client.connect()
  const kinds = ['missingVersion', 'missingMetadata', 'nullBody', 'unknownFields']
  for (const kind of kinds) sim.fault({ match: { operation: 'event' }, action: { kind } })
  const events = on(client, 'event')
  sim.publish(TOPIC, { a: 1 })
  const {
    value: [event],
  } = await events.next()
  await events.return()
  assert.equal(event.version, undefined)
  assert.equal(event.metadata, undefined)
  assert.equal(event.eventBody, null)
})

test('connect() waits for the same thing however often it is called', async (t) => {
  const { client } = await world(t)
  assert.equal(client.state, 'idle')
  const calls = [client.connect(), client.connect()]
  assert.equal(client.state, 'connecting')
  await Promise.all(calls)
  assert.equal(client.state, 'connected')
  await client.connect()
})

test('an abort ends the waiting, not the connecting', async (t) => {
  const { sim, client } = await world(t)
  sim.fault({ match: { operation: 'token' }, action: { kind: 'delay', ms: 150 } })
  const controller = new AbortController()
  const waiting = client.connect({ signal: controller.signal })
  controller.abort(new Error('enough'))
  await assert.rejects(waiting, { message: 'enough' })
  await assert.rejects(client.connect({ signal: AbortSignal.abort() }), { name: 'AbortError' })
  await client.connect()
})

test('nothing is lost between connect() and the first for await', async (t) => {
  const { sim, client } = await world(t)
  await client.connect()
  for (let n = 0; n < 500; n++) sim.publish(TOPIC, { n })
  await until(() => client.stats().received === 500)
  assert.equal(client.stats().queue.events, 500)
  let n = 0
  for await (const event of client.events()) {
    assert.equal(event.eventBody.n, n++)
    if (n === 500) break
  }
  assert.equal(client.stats().delivered, 500)
})

test('every consumer gets every event: listeners, iterators and batches', async (t) => {
  const { sim, client } = await world(t)
  const heard = []
  client.on('event', (event) => heard.push(event.eventBody.n))
  const single = client.events()
  const batches = client.batches({ maxEvents: 10, maxWaitMs: 5 })
  await client.connect()
  for (let n = 0; n < 300; n++) sim.publish(TOPIC, { n })
  const expected = Array.from({ length: 300 }, (_, n) => n)
  const iterated = []
  const batched = []
  const iterating = async () => {
    for await (const event of single) if (iterated.push(event.eventBody.n) === 300) break
  }
  const batching = async () => {
    for await (const batch of batches) {
      assert.ok(batch.length >= 1 && batch.length <= 10)
      if (batched.push(...batch.map((event) => event.eventBody.n)) === 300) break
    }
  }
  await Promise.all([iterating(), batching()])
  assert.deepEqual([heard, iterated, batched], [expected, expected, expected])
})

test('topics are added, removed and replaced while connected, each with its own status', async (t) => {
  const forbidden = [{ topic: 'v2.users.{id}.station', missingPermissions: ['telephony:station:view'] }]
  const { client } = await world(t, { sim: { forbidden } })
  const pending = await client.subscribe(['v2.users.u.routingStatus'])
  assert.deepEqual(
    pending.map(({ topic, state }) => [topic, state]),
    [['v2.users.u.routingStatus', 'pending']],
  )
  await client.connect()
  const statuses = await client.subscribe('v2.users.w?presence&station')
  assert.deepEqual(statuses.map(({ topic, state }) => `${topic} ${state}`).sort(), [
    'v2.users.w.presence subscribed',
    'v2.users.w.station rejected',
  ])
  const rejected = statuses.find(({ state }) => state === 'rejected')
  assert.deepEqual(rejected.missingPermissions, ['telephony:station:view'])
  assert.ok(rejected.reason.length > 0)
  await client.unsubscribe(statuses)
  assert.equal(client.topics().length, 2)
  await client.setTopics(new Set(['v2.users.x.presence']))
  assert.deepEqual(
    client.topics().map(({ topic, state }) => [topic, state]),
    [['v2.users.x.presence', 'subscribed']],
  )
})

test('a client fails when every topic is refused, and says what is missing', async (t) => {
  const forbidden = [{ topic: TOPIC, missingPermissions: ['presence:view'] }]
  const { client } = await world(t, { sim: { forbidden } })
  client.on('error', () => {})
  const connecting = client.connect()
  await assert.rejects(connecting, (error) => {
    assert.ok(error instanceof TopicError)
    assert.equal(error.code, 'ALL_TOPICS_REJECTED')
    assert.equal(error.retryable, false)
    return true
  })
  assert.equal(client.state, 'failed')
  await assert.rejects(
    client.connect(),
    (error) => error instanceof ClosedError && error.cause.code === 'ALL_TOPICS_REJECTED',
  )
  await assert.rejects(client.events().next(), { code: 'ALL_TOPICS_REJECTED' })
  await client.close()
})

test('a wrong secret says that a wrong region looks the same', async (t) => {
  const sim = await simulator(t)
  const client = clientOf(t, sim, { credentials: { ...sim.credentials, clientSecret: 'wrong' } })
  const errors = []
  client.on('error', (error) => errors.push(error))
  await assert.rejects(client.connect(), (error) => {
    assert.ok(error instanceof AuthenticationError)
    assert.equal(error.code, 'INVALID_CREDENTIALS')
    assert.equal(error.status, 400)
    assert.match(error.hint, /region/)
    return true
  })
  assert.equal(errors[0].code, 'INVALID_CREDENTIALS')
})

test('tokens of a provider are used, renewed, and asked for with a reason', async (t) => {
  const { sim, client: other } = await world(t)
  await other.connect()
  const reasons = []
  const client = clientOf(t, sim, {
    credentials: {
      accessToken: async (why) => {
        reasons.push(why)
        return { accessToken: await token(sim), expiresInMs: 600 }
      },
    },
  })
  await client.connect()
  await until(() => reasons.length >= 3)
  assert.equal(reasons[0], 'initial')
  assert.equal(reasons[1], 'renewal')
  assert.equal(client.gaps().length, 0)
})

async function token(sim) {
  const { clientId, clientSecret } = sim.credentials
  const response = await fetch(`${sim.urls.login}/oauth/token`, {
    method: 'POST',
    headers: { authorization: `Basic ${Buffer.from(`${clientId}:${clientSecret}`).toString('base64')}` },
    body: new URLSearchParams({ grant_type: 'client_credentials' }),
  })
  return (await response.json()).access_token
}

test('a provider that fails, or never answers, is reported and asked again', async (t) => {
  const sim = await simulator(t)
  const answers = [
    () => Promise.reject(new Error('vault is sealed')),
    () => 'not an object',
    () => ({}),
    () => new Promise(() => {}),
    async () => ({ accessToken: await token(sim) }),
  ]
  let call = 0
  const client = clientOf(t, sim, {
    credentials: { accessToken: () => answers[Math.min(call++, answers.length - 1)]() },
    network: { requestTimeoutMs: 200 },
  })
  const errors = []
  client.on('error', (error) => errors.push(error))
  await client.connect()
  const failed = errors.filter(({ code }) => code === 'TOKEN_PROVIDER_FAILED')
  assert.ok(failed.length >= 3, inspect(errors))
  assert.match(failed[0].message, /vault is sealed/)
  assert.equal(failed[0].cause.message, 'vault is sealed')
  assert.match(failed[1].message, /must give \{ accessToken/)
  assert.match(failed[2].message, /gave no accessToken/)
})

test('a rotated refresh token is handed to the caller', async (t) => {
  const client0 = { id: 'code-client', secret: 'code-secret', refreshTokens: ['first'] }
  const sim = await simulator(t, { clients: [client0] })
  const kept = []
  const client = clientOf(t, sim, {
    credentials: {
      clientId: client0.id,
      clientSecret: client0.secret,
      refreshToken: 'first',
      onRefreshToken: async (refreshToken) => kept.push(refreshToken),
    },
  })
  await client.connect()
  await until(() => kept.length === 1)
  assert.notEqual(kept[0], 'first')
})

test('a listener that throws or rejects loses no event for anybody', async (t) => {
  const { sim, client } = await world(t)
  const first = []
  const second = []
  const errors = []
  client.on('error', (error) => errors.push(error))
  client.on('event', (event) => {
    first.push(event.eventBody.n)
    if (event.eventBody.n % 10 === 0) throw new Error('oops')
  })
  client.on('event', async (event) => {
    second.push(event.eventBody.n)
    if (event.eventBody.n % 25 === 0) throw new Error('later')
  })
  await client.connect()
  for (let n = 0; n < 100; n++) sim.publish(TOPIC, { n })
  await until(() => second.length === 100)
  assert.equal(first.length, 100)
  await until(() => errors.length === 14)
  assert.ok(errors.every(({ code }) => code === 'LISTENER_FAILED'))
  assert.deepEqual([...new Set(errors.map(({ cause }) => cause.message))].sort(), ['later', 'oops'])

  client.removeAllListeners('event')
  const alone = []
  client.once('event', () => {
    throw new Error('only me')
  })
  sim.publish(TOPIC, {})
  await until(() => errors.length === 15)
  client.on('event', (event) => alone.push(event))
  sim.publish(TOPIC, {})
  await until(() => alone.length === 1)
})

test('an error that nobody listens for is logged once, and never thrown', async (t) => {
  const lines = []
  t.mock.method(console, 'error', (line) => lines.push(line))
  const { sim, client } = await world(t)
  sim.fault({ match: { operation: 'token' }, action: { kind: 'status', status: 503 }, times: 4 })
  await client.connect()
  assert.equal(lines.length, 1)
  assert.match(lines[0], /^genesys-cloud-notifications: SERVICE_UNAVAILABLE: /)
})

test('a logger hears log lines and unheard errors, and may throw', async (t) => {
  const lines = []
  const log = (level) => (message) => {
    lines.push([level, message])
    throw new Error('disk full')
  }
  const logger = { debug: log('debug'), info: log('info'), warn: log('warn'), error: log('error') }
  const { sim, client } = await world(t, { logger })
  sim.fault({ match: { operation: 'token' }, action: { kind: 'status', status: 503 } })
  await client.connect()
  await client.rotate()
  assert.ok(lines.some(([level, line]) => level === 'error' && line.includes('SERVICE_UNAVAILABLE')))
  assert.ok(lines.some(([level]) => level === 'debug' || level === 'info'))
  assert.ok(lines.every(([, line]) => typeof line === 'string'))
})

test('rotate() loses nothing, reconnect() is a gap, and both wait until they are done', async (t) => {
  const { sim, client } = await world(t)
  await assert.rejects(client.rotate(), { code: 'NOT_CONNECTED' })
  await assert.rejects(client.reconnect(), { code: 'NOT_CONNECTED' })
  await client.connect()
  const [before] = sim.channels()
  await client.rotate()
  assert.equal(client.stats().rotations, 1)
  assert.equal(client.gaps().length, 0)
  await client.reconnect()
  assert.equal(client.state, 'connected')
  const gaps = client.gaps()
  assert.ok(gaps.length >= 1 && gaps.every(({ reason, to }) => reason === 'requested' && to !== null), inspect(gaps))
  assert.ok(sim.channels().every(({ id, connected }) => id !== before.id || !connected))
})

test('a gap is heard before the first event after it', async (t) => {
  const { sim, client } = await world(t)
  const order = []
  client.on('gap', ({ to }) => order.push(to === null ? 'opened' : 'closed'))
  client.on('event', (event) => order.push(event.eventBody.n))
  await client.connect()
  sim.publish(TOPIC, { n: 1 })
  await until(() => order.includes(1))
  sim.fault({ match: { operation: 'socket' }, action: { kind: 'reset' } })
  await until(() => order.includes('opened'))
  await until(() => {
    sim.publish(TOPIC, { n: 2 })
    return order.includes(2)
  })
  assert.deepEqual(order.slice(0, 4), [1, 'opened', 'closed', 2])
})

test('a full queue drops what its option says, counts it and reports a gap', async (t) => {
  const { sim, client } = await world(t, { queue: { maxEvents: 10, onFull: 'dropOldest' } })
  await client.connect()
  for (let n = 0; n < 50; n++) sim.publish(TOPIC, { n })
  await until(() => client.stats().received === 50 || client.stats().dropped === 40)
  const kept = []
  for await (const event of client.events()) if (kept.push(event.eventBody.n) === 10) break
  assert.deepEqual(kept, [40, 41, 42, 43, 44, 45, 46, 47, 48, 49])
  assert.equal(client.stats().dropped, 40)
  const gap = client.gaps().find(({ reason }) => reason === 'queue_full')
  assert.deepEqual(gap.topics, [TOPIC])
})

test('a slow reader pauses the socket, and everything arrives in the end', async (t) => {
  const { sim, client } = await world(t, { queue: { maxEvents: 100 }, heartbeat: { silenceMs: 5_000 } })
  await client.connect()
  const body = { padding: 'x'.repeat(2_000) }
  for (let n = 0; n < 5_000; n++) sim.publish(TOPIC, { n, ...body })
  await until(() => client.stats().queue.paused)
  let n = 0
  for await (const event of client.events()) {
    assert.equal(event.eventBody.n, n++)
    if (n === 5_000) break
  }
  assert.equal(client.gaps().length, 0)
})

test('close() is idempotent, works from every state, and ends iterators', async (t) => {
  const sim = await simulator(t)
  const idle = clientOf(t, sim)
  await Promise.all([idle.close(), idle.close()])
  assert.equal(idle.state, 'closed')

  const connecting = clientOf(t, sim)
  const waiting = connecting.connect()
  await connecting.close()
  await assert.rejects(waiting, ClosedError)

  const connected = clientOf(t, sim)
  await connected.connect()
  const states = []
  connected.on('state', ({ state }) => states.push(state))
  const next = connected.events().next()
  await connected.close()
  assert.deepEqual(await next, { value: undefined, done: true })
  assert.deepEqual(states, ['closing', 'closed'])
  assert.deepEqual(await connected.events().next(), { value: undefined, done: true })
  for (const call of [
    () => connected.connect(),
    () => connected.subscribe(TOPIC),
    () => connected.unsubscribe(TOPIC),
    () => connected.setTopics([]),
    () => connected.rotate(),
    () => connected.reconnect(),
    () => connected.serveHealth(),
  ]) {
    await assert.rejects(call, (error) => error instanceof ClosedError && error.code === 'CLOSED')
  }
  assert.equal(connected.stats().state, 'closed')
  assert.equal(connected.health().status, 'down')
})

test('close() in a listener stops the events at once; with drainMs what has arrived is handed over', async (t) => {
  const { sim, client } = await world(t)
  await client.connect()
  for (let n = 0; n < 200; n++) sim.publish(TOPIC, { n })
  await until(() => client.stats().received === 200)
  let heard = 0
  client.on('event', () => {
    if (++heard === 3) client.close()
  })
  await until(() => client.state === 'closed')
  assert.equal(heard, 3)

  const draining = clientOf(t, sim)
  await draining.connect()
  for (let n = 0; n < 200; n++) sim.publish(TOPIC, { n })
  await until(() => draining.stats().received === 200)
  const all = []
  const reading = (async () => {
    for await (const event of draining.events()) all.push(event.eventBody.n)
  })()
  await draining.close({ drainMs: 5_000 })
  await reading
  assert.equal(all.length, 200)
})

test('a signal closes the client, and `await using` would', async (t) => {
  const sim = await simulator(t)
  const controller = new AbortController()
  const client = clientOf(t, sim, { signal: controller.signal })
  await client.connect()
  controller.abort()
  await until(() => client.state === 'closed')
  assert.equal(clientOf(t, sim, { signal: AbortSignal.abort() }).state, 'closing')

  const disposable = clientOf(t, sim)
  await disposable.connect()
  await disposable[Symbol.asyncDispose]()
  assert.equal(disposable.state, 'closed')
})

test('a client without topics connects, and takes topics later', async (t) => {
  const { sim, client } = await world(t, { topics: [] })
  await client.connect()
  assert.deepEqual(client.topics(), [])
  const [status] = await client.subscribe(TOPIC)
  assert.equal(status.state, 'subscribed')
  const [[event]] = await Promise.all([once(client, 'event'), sim.publish(TOPIC, { a: 1 })])
  assert.deepEqual(event.eventBody, { a: 1 })
})

test('inspecting a client shows its state, not its options', () => {
  const client = new NotificationClient({ region: 'us-east-1', credentials: { clientId: 'i', clientSecret: 'canary' } })
  assert.equal(inspect(client), `NotificationClient { state: 'idle', topics: 0, gaps: 0 }`)
  assert.doesNotMatch(inspect(client, { showHidden: true, depth: 9 }), /canary/)
  client.close()
})
