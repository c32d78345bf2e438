import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile, stat, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

import { ConfigurationError, CursorError } from '../index.js'
import { MemoryStore, directClient, directOptions, endpoints, positionOf } from './support/direct.mjs'
import { journalPath, range, take } from './support/journal.mjs'
import { simulator, until } from './support/world.mjs'

const TOPIC = 'orders'
const CHILD = fileURLToPath(new URL('./support/cursor-child.mjs', import.meta.url))
const ENDS = 12

function publish(sim, from, to) {
  for (const n of range(from, to)) sim.publish(TOPIC, { n })
}

/** As `publish`, but each event has a position of its own: the simulator's are times in milliseconds, by a clock of its own. */
async function publishApart(sim, from, to) {
  for (const n of range(from, to)) {
    const before = Date.now()
    await until(() => Date.now() > before + 1)
    sim.publish(TOPIC, { n })
  }
}

const numbers = (events) => events.map(({ eventBody }) => eventBody.n)

function errorsOf(client) {
  const errors = []
  client.on('error', (error) => errors.push(error))
  return errors
}

test('a cursor is saved only after acknowledgement, one save at a time, the newest wins', async (t) => {
  const sim = await simulator(t)
  const store = new MemoryStore()
  const waiting = []
  store.save = (cursor) => {
    store.saves.push(cursor)
    return new Promise((resolve) => waiting.push(resolve))
  }
  const client = directClient(t, sim, endpoints(sim).since, { cursor: store, manualAck: true })
  const iterator = client.events()
  await client.connect()
  await publishApart(sim, 1, 10)
  const events = await take(iterator, 10)
  assert.deepEqual([store.loads, store.saves, client.stats().cursor.saves], [1, [], 0])

  client.ack(events[2])
  await until(() => store.saves.length === 1)
  assert.equal(JSON.parse(store.saves[0]).position, positionOf(events[2]))
  client.ack(events[4])
  client.ack(events[7].sequence)
  const pending = client.reconnect()
  await pending
  assert.equal(store.saves.length, 1, 'a second save while the first is under way')
  waiting.shift()()
  await until(() => store.saves.length === 2)
  assert.equal(JSON.parse(store.saves[1]).position, positionOf(events[7]))
  waiting.shift()()
  const { position, savedAt } = await until(() => client.stats().cursor.saves === 2 && client.stats().cursor)
  assert.equal(position, positionOf(events[7]))
  assert.ok(Math.abs(Date.now() - savedAt) < 60_000)
  assert.match(client.metrics(), /^genesys_notifications_cursor_saves_total 2$/m)
  assert.match(client.metrics(), /^genesys_notifications_cursor_failures_total 0$/m)
  await assert.rejects(client.subscribe(TOPIC, { conflate: { maxPerSecond: 1 } }), { path: 'conflate' })
})

test('the next client goes on where the cursor stands, without loss and without a second time', async (t) => {
  const sim = await simulator(t)
  const store = new MemoryStore()
  const seen = []
  for (let n = 0; n < 40; n += 10) {
    const client = directClient(t, sim, endpoints(sim).since, { cursor: store })
    client.on('event', ({ eventBody }) => seen.push(eventBody.n))
    await client.connect()
    publish(sim, n + 1, n + 5)
    await until(
      () => seen.length === n + 5,
      () => `${seen.length} of ${n + 5}: ${seen}`,
    )
    await client.close()
    // Nobody is there, and one is of the same millisecond perhaps.
    publish(sim, n + 6, n + 10)
    if (n === 30) continue
    const between = directClient(t, sim, endpoints(sim).since, { cursor: store })
    between.on('event', ({ eventBody }) => seen.push(eventBody.n))
    await between.connect()
    await until(
      () => seen.length === n + 10,
      () => `${seen.length} of ${n + 10}: ${seen}`,
    )
    await between.close()
  }
  assert.deepEqual(seen, range(1, 35))
})

test('what was not acknowledged comes again, also with batches and after drainMs', async (t) => {
  const sim = await simulator(t)
  const store = new MemoryStore()
  const first = directClient(t, sim, endpoints(sim).since, { cursor: store })
  await first.connect()
  await publishApart(sim, 1, 6)
  await take(first.events(), 4)
  await first.close()

  // Asking for the fourth acknowledged the third.
  const second = directClient(t, sim, endpoints(sim).since, { cursor: store })
  const batches = second.batches({ maxEvents: 2 })
  second.connect()
  const batch = await batches.next()
  assert.equal(batch.value[0].eventBody.n, 4)
  await until(() => second.stats().received === 3)
  const rest = []
  const reading = (async () => {
    for await (const events of batches) rest.push(...numbers(events))
  })()
  await second.close({ drainMs: 5_000 })
  await reading
  assert.deepEqual([...numbers(batch.value), ...rest], [4, 5, 6])

  const third = directClient(t, sim, endpoints(sim).since, { cursor: store })
  await third.connect()
  publish(sim, 7, 7)
  assert.deepEqual(numbers(await take(third.events(), 1)), [7])
})

test('once close() was called an iterator gives nothing more, and what it held comes to the next client', async (t) => {
  const sim = await simulator(t)
  const store = new MemoryStore()
  const first = directClient(t, sim, endpoints(sim).since, { cursor: store })
  await first.connect()
  const iterator = first.events()
  publish(sim, 1, 10)
  assert.deepEqual(numbers(await take(iterator, 3)), [1, 2, 3])
  await until(() => first.stats().delivered === 10)
  const closed = first.close()
  assert.equal((await iterator.next()).done, true)
  await closed

  const second = directClient(t, sim, endpoints(sim).since, { cursor: store })
  second.connect()
  const [next] = numbers(await take(second.events(), 1))
  assert.ok(next === 3 || next === 4, `goes on with ${next}`)
})

test('close() waits for the last save', async (t) => {
  const sim = await simulator(t)
  const store = new MemoryStore()
  let finish
  const save = store.save.bind(store)
  store.save = async (cursor) => {
    await new Promise((resolve) => (finish = resolve))
    await save(cursor)
  }
  const client = directClient(t, sim, endpoints(sim).since, { cursor: store, manualAck: true })
  await client.connect()
  publish(sim, 1, 1)
  const [event] = await take(client.events(), 1)
  client.ack(event)
  let isClosed = false
  const closed = client.close().then(() => (isClosed = true))
  await until(() => finish)
  assert.deepEqual([isClosed, store.kept], [false, null])
  finish()
  await closed
  assert.equal(store.position, positionOf(event))
})

test('a load that fails is tried again, and nothing is connected before it succeeds', async (t) => {
  const sim = await simulator(t)
  const store = new MemoryStore()
  const failures = [
    () => Promise.reject(new Error('no such host: redis')),
    () => {
      throw new Error('thrown')
    },
    async () => undefined,
    async () => 5,
    () => new Promise(() => {}),
  ]
  const words = ['no such host: redis', 'thrown', 'not undefined', 'not a number', 'within 300 ms']
  store.load = () => {
    store.loads++
    return (failures.shift() ?? (async () => null))()
  }
  const options = { cursor: store, network: { requestTimeoutMs: 300 } }
  const client = directClient(t, sim, endpoints(sim).since, options)
  const errors = errorsOf(client)
  client.on('error', () => assert.equal(sim.log().gateway.length, 0))
  await client.connect()
  assert.equal(store.loads, 6)
  assert.equal(errors.length, 5)
  for (const [i, error] of errors.entries()) {
    assert.ok(error instanceof CursorError && error.code === 'CURSOR_FAILED' && error.retryable, String(error))
    assert.ok(error.message.includes(words[i]), `${error.message} / ${words[i]}`)
    if (i < 4) assert.ok(error.cause.message.includes(words[i]))
  }
})

test('a save that does not end is given up, and its answer comes too late', async (t) => {
  const sim = await simulator(t)
  const store = new MemoryStore()
  const waiting = []
  store.save = (cursor) => {
    store.saves.push(cursor)
    return new Promise((resolve, reject) => waiting.push({ resolve, reject }))
  }
  const options = { cursor: store, network: { requestTimeoutMs: 300 } }
  const client = directClient(t, sim, endpoints(sim).since, options)
  const errors = errorsOf(client)
  client.on('event', () => {})
  await client.connect()
  publish(sim, 1, 1)
  await until(() => waiting.length === 2)
  assert.deepEqual([errors[0].code, /within 300 ms/.test(errors[0].message)], ['CURSOR_FAILED', true])
  waiting[0].reject(new Error('too late'))
  waiting[1].resolve()
  await until(() => client.stats().cursor.saves === 1)
  assert.deepEqual([store.saves[1], client.stats().cursor.failures], [store.saves[0], 1])
})

test('what is no cursor ends the client and is left as it is', async (t) => {
  const sim = await simulator(t)
  for (const nonsense of ['{"version":1', '{"version":99,"position":"x"}', '{}']) {
    const store = new MemoryStore()
    store.kept = nonsense
    const client = directClient(t, sim, endpoints(sim).since, { cursor: store })
    errorsOf(client)
    await assert.rejects(client.connect(), (error) => error instanceof CursorError && error.code === 'CURSOR_CORRUPT')
    assert.deepEqual([client.state, store.kept, store.saves], ['failed', nonsense, []])
  }
  assert.equal(sim.log().gateway.length, 0)
})

test('a bare position is a cursor', async (t) => {
  const sim = await simulator(t)
  const store = new MemoryStore()
  publish(sim, 1, 3)
  const position = new Date(sim.log().events[0].at).toISOString()
  store.kept = position
  const client = directClient(t, sim, endpoints(sim).since, { cursor: store })
  client.connect()
  assert.deepEqual(numbers(await take(client.events(), 3)), [1, 2, 3])
  assert.equal(sim.log().gateway[0].position, position)
})

test('a save that fails is told and tried again until it succeeds, and health says so meanwhile', async (t) => {
  const sim = await simulator(t)
  const store = new MemoryStore()
  const save = store.save.bind(store)
  let isBroken = true
  store.save = async (cursor) => {
    if (isBroken) throw new Error('disk full')
    await save(cursor)
  }
  const client = directClient(t, sim, endpoints(sim).since, { cursor: store })
  const errors = errorsOf(client)
  const seen = []
  client.on('event', (event) => seen.push(event))
  await client.connect()
  publish(sim, 1, 3)
  const error = await until(() => errors[1])
  assert.ok(error instanceof CursorError)
  assert.match(error.message, /disk full/)
  assert.equal(error.cause.message, 'disk full')
  assert.deepEqual([client.health().status, client.health().reasons.length], ['degraded', 1])
  assert.match(client.health().reasons[0], /cursor/)
  isBroken = false
  await until(() => store.kept !== null)
  assert.equal(store.position, positionOf(seen.at(-1)))
  await until(() => client.health().status === 'ok')
  assert.ok(client.stats().cursor.failures >= 2)
})

test('a file is replaced as a whole, for its owner only, for one client only', async (t) => {
  const sim = await simulator(t)
  const path = await journalPath(t)
  const options = { cursor: { path } }
  const client = directClient(t, sim, endpoints(sim).since, options)
  client.on('event', () => {})
  await client.connect()
  assert.throws(() => directClient(t, sim, endpoints(sim).since, options), { path: 'cursor.path' })
  publish(sim, 1, 3)
  await until(() => client.stats().cursor.saves > 0)
  await client.close()
  if (process.platform !== 'win32') assert.equal((await stat(path)).mode & 0o777, 0o600)
  const text = await readFile(path, 'utf8')
  assert.ok(!text.includes(sim.credentials.clientSecret))

  const damaged = text.replace(/"position":"./, '"position":"9')
  assert.notEqual(damaged, text)
  for (const content of [damaged, text.slice(0, -9), '', 'nonsense']) {
    await writeFile(path, content)
    assert.throws(
      () => directClient(t, sim, endpoints(sim).since, options),
      (error) => error instanceof ConfigurationError && error.path === 'cursor.path',
      content,
    )
    assert.equal(await readFile(path, 'utf8'), content)
  }
  assert.throws(() => directClient(t, sim, endpoints(sim).since, { cursor: { path: dirname(path) } }), {
    path: 'cursor.path',
  })
})

test(`after each of ${ENDS} ends the next process goes on from the cursor: nothing is lost`, async (t) => {
  const sim = await simulator(t)
  const path = await journalPath(t)
  const options = directOptions(sim, endpoints(sim).since, { cursor: { path } })
  const known = new Set()
  let repeated = 0
  let n = 0

  // Coverage begins with the first connection: events from before it are nobody's.
  let running = startChild(t, options, known)
  await until(() => running.isLive, () => running.errors) // prettier-ignore
  const publishing = setInterval(() => sim.publish(TOPIC, { n: ++n }), 4)
  t.after(() => clearInterval(publishing))
  for (let ends = 1; ends <= ENDS; ends++) {
    const isKilled = ends % 3 !== 0
    await until(() => running.mine.size >= 5 + ((ends * 37) % 60), () => running.errors) // prettier-ignore
    const before = running.mine
    const code = await running.end(isKilled ? 'SIGKILL' : 'SIGTERM')
    if (!isKilled) assert.equal(code, 0, running.errors)
    running = startChild(t, options, known)
    await until(() => running.mine.size >= 5, () => running.errors) // prettier-ignore
    const again = [...running.mine].filter((number) => before.has(number))
    repeated += again.length
    // Of an orderly end only the event at hand was not acknowledged.
    if (!isKilled) assert.ok(again.length <= 1, `${again} again although all was saved`)
  }
  clearInterval(publishing)
  const lost = () => range(1, n).filter((number) => !known.has(number))
  await until(() => lost().length === 0, () => `${lost()} of ${n} lost: ${running.errors}`) // prettier-ignore
  assert.equal(await running.end('SIGTERM'), 0, running.errors)
  t.diagnostic(`${n} published, ${repeated} again in the next process`)
})

/** `known` are the events of earlier processes, and becomes all. */
function startChild(t, options, known) {
  const child = spawn(process.execPath, [CHILD, JSON.stringify(options)], { stdio: ['ignore', 'pipe', 'pipe'] })
  t.after(() => child.kill('SIGKILL'))
  const closed = once(child, 'close')
  const running = {
    isLive: false,
    errors: '',
    mine: new Set(),
    end: async (signal) => {
      child.kill(signal)
      const [code] = await closed
      return code
    },
  }
  child.stderr.on('data', (chunk) => (running.errors += chunk))
  createInterface({ input: child.stdout }).on('line', (line) => {
    if (line === 'l') return (running.isLive = true)
    const number = Number(line.slice(2))
    assert.ok(!running.mine.has(number), `${number} twice in one process`)
    running.mine.add(number)
    known.add(number)
  })
  return running
}
