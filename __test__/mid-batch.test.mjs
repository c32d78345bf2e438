import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'

import { numbers, range, take } from './support/journal.mjs'
import { TOPIC, until, world } from './support/world.mjs'

const OTHER = 'v2.users.other.presence'
/** Several slices, all of which wait when the first listener comes. */
const EVENTS = 500
/** In the middle of a slice. */
const MIDDLE = 101
const ALL = range(0, EVENTS - 1)

/** A client in whose queue all events wait. */
async function filled(t, options) {
  const { sim, client } = await world(t, options)
  await client.connect()
  for (const n of ALL) sim.publish(TOPIC, { n })
  await until(() => client.stats().received === EVENTS)
  return { sim, client }
}

/** Listens, and does something when the middle has come. */
function actInTheMiddle(client, act) {
  const heard = []
  const listener = ({ eventBody }) => {
    heard.push(eventBody.n)
    if (eventBody.n === MIDDLE) act(listener)
  }
  client.on('event', listener)
  return heard
}

const balanced = ({ received, delivered, dropped, queue }) => received === delivered + dropped + queue.events

test('a listener that throws in a batch hears the rest of it, and so do others', async (t) => {
  const { client } = await filled(t)
  const errors = []
  client.on('error', ({ code, cause }) => errors.push(`${code} ${cause.message}`))
  const thrower = []
  client.on('event', ({ eventBody }) => {
    thrower.push(eventBody.n)
    throw new Error(String(eventBody.n))
  })
  const other = []
  client.on('event', ({ eventBody }) => other.push(eventBody.n))
  await until(() => other.length === EVENTS)
  assert.deepEqual([thrower, other], [ALL, ALL])
  assert.deepEqual(
    errors,
    ALL.map((n) => `LISTENER_FAILED ${n}`),
  )
})

test('a listener that goes in a batch leaves the rest to the one that comes later', async (t) => {
  const { client } = await filled(t)
  const heard = actInTheMiddle(client, (listener) => client.off('event', listener))
  await until(() => heard.length > MIDDLE)
  await until(() => balanced(client.stats()))
  assert.equal(client.stats().queue.events, EVENTS - MIDDLE - 1, 'the rest waits')
  client.on('event', ({ eventBody }) => heard.push(eventBody.n))
  await until(() => heard.length >= EVENTS)
  assert.deepEqual(heard, ALL)
})

test('a listener that puts another in its place loses and repeats nothing', async (t) => {
  const { client } = await filled(t)
  const later = []
  const heard = actInTheMiddle(client, (listener) => {
    client.off('event', listener)
    client.on('event', ({ eventBody }) => later.push(eventBody.n))
  })
  await until(() => later.length > 0 && later.at(-1) === EVENTS - 1)
  assert.deepEqual([heard, later], [range(0, MIDDLE), range(MIDDLE + 1, EVENTS - 1)])
})

test('once() takes one event at a time out of a batch', async (t) => {
  const { client } = await filled(t)
  const heard = []
  while (heard.length < 100) heard.push((await once(client, 'event'))[0].eventBody.n)
  assert.deepEqual(heard, range(0, 99))
  assert.equal(client.stats().queue.events, EVENTS - 100)
})

test('topics that a listener adds and removes change nothing about what has come', async (t) => {
  const { sim, client } = await filled(t)
  let subscribed
  const heard = actInTheMiddle(client, () => {
    subscribed = client.subscribe(OTHER)
    client.unsubscribe(TOPIC)
  })
  await until(() => heard.length === EVENTS)
  assert.deepEqual(heard, ALL)
  assert.deepEqual(
    (await subscribed).map(({ topic, state }) => [topic, state]),
    [[OTHER, 'subscribed']],
  )
  sim.publish(OTHER, { n: EVENTS })
  await until(() => heard.length > EVENTS)
  assert.equal(heard.at(-1), EVENTS)
})

test('an iterator that a listener begins gets every event after that one', async (t) => {
  const { client } = await filled(t)
  let events, batches
  const heard = actInTheMiddle(client, () => {
    events = client.events()
    batches = client.batches({ maxEvents: 7 })
  })
  await until(() => batches)
  const batched = async () => {
    const list = []
    while (list.at(-1) !== EVENTS - 1) list.push(...numbers((await batches.next()).value))
    return list
  }
  const rest = range(MIDDLE + 1, EVENTS - 1)
  const [iterated, inBatches] = await Promise.all([take(events, rest.length), batched()])
  assert.deepEqual([heard, numbers(iterated), inBatches], [ALL, rest, rest])
  assert.ok(balanced(client.stats()))
})

test('an iterator that a listener begins in its own place takes over', async (t) => {
  const { client } = await filled(t)
  let events
  const heard = actInTheMiddle(client, (listener) => {
    client.off('event', listener)
    events = client.events()
  })
  await until(() => events)
  const rest = range(MIDDLE + 1, EVENTS - 1)
  assert.deepEqual(numbers(await take(events, rest.length)), rest)
  assert.deepEqual(heard, range(0, MIDDLE))
})

test('close() in a batch is after this event for every listener, and an iterator keeps what it was given', async (t) => {
  const { client } = await filled(t)
  const events = client.events()
  const heard = actInTheMiddle(client, () => client.close())
  const other = []
  client.on('event', ({ eventBody }) => other.push(eventBody.n))
  await until(() => client.state === 'closed')
  const iterated = []
  for await (const { eventBody } of events) iterated.push(eventBody.n)
  const upTo = range(0, MIDDLE)
  assert.deepEqual([heard, other, iterated], [upTo, upTo, upTo])
})

test('listeners and iterators of any speed get every event while the queue is full over and over', async (t) => {
  const { sim, client } = await world(t, { queue: { maxEvents: 20 }, heartbeat: { silenceMs: 60_000 } })
  await client.connect()
  for (const n of ALL) sim.publish(TOPIC, { n, padding: 'x'.repeat(2_000) })
  await until(() => client.stats().queue.paused)
  const heard = []
  client.on('event', (event) => heard.push(event.eventBody.n))
  const read = async (events, pause) => {
    const list = []
    for await (const { eventBody } of events) {
      list.push(eventBody.n)
      if (eventBody.n === EVENTS - 1) return list
      await pause()
    }
  }
  const atOnce = read(client.events(), () => {})
  const laterOn = read(client.events(), () => new Promise((resolve) => setImmediate(resolve)))
  assert.deepEqual([await atOnce, await laterOn, heard], [ALL, ALL, ALL])
  assert.ok(balanced(client.stats()))
})
