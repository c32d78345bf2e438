import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'

import { range } from './support/journal.mjs'
import { QUICK, TOPIC, clientOf, simulator, until } from './support/world.mjs'

const EVENTS = 3_000
const QUEUE = 50
const WITHIN_MS = 30_000

/** Counts what comes in the right order, for everybody to see; anything else ends it. */
const WORKER = `
  const { parentPort, workerData } = require('node:worker_threads')
  const { NotificationClient } = require(workerData.index)
  const heard = new Int32Array(workerData.heard)
  const client = new NotificationClient(workerData.options)
  client.on('event', ({ eventBody }) => {
    if (eventBody.n !== heard[0]) process.exit(1)
    Atomics.add(heard, 0, 1)
    Atomics.notify(heard, 0)
  })
  parentPort.once('message', async () => {
    parentPort.postMessage(client.stats())
    await client.close()
  })
  client.connect().then(() => parentPort.postMessage('connected'))
`

const sums = ({ received, delivered, dropped, queue }) => ({ received, delivered, dropped, queued: queue.events })

test('a thread that is blocked holds back neither the client of a worker nor what its own clients count', async (t) => {
  const sim = await simulator(t)
  const common = { heartbeat: { silenceMs: 60_000 } }
  const patient = clientOf(t, sim, { ...common, queue: { maxEvents: QUEUE } })
  const hasty = clientOf(t, sim, { ...common, queue: { maxEvents: QUEUE, onFull: 'dropOldest' } })
  const heard = new Int32Array(new SharedArrayBuffer(4))
  const worker = new Worker(WORKER, {
    eval: true,
    workerData: {
      index: fileURLToPath(new URL('../index.js', import.meta.url)),
      options: { region: sim.urls, credentials: sim.credentials, topics: [TOPIC], ...QUICK, ...common },
      heard: heard.buffer,
    },
  })
  t.after(() => worker.terminate())
  await Promise.all([patient.connect(), hasty.connect(), once(worker, 'message')])

  const lists = { patient: [], hasty: [] }
  patient.on('event', ({ eventBody }) => lists.patient.push(eventBody.n))
  hasty.on('event', ({ eventBody }) => lists.hasty.push(eventBody.n))
  for (let n = 0; n < EVENTS; n++) sim.publish(TOPIC, { n, padding: 'x'.repeat(2_000) })
  // No turn of this thread's event loop until the worker has everything.
  const deadline = Date.now() + WITHIN_MS
  for (;;) {
    const count = Atomics.load(heard, 0)
    if (count === EVENTS && hasty.stats().received === EVENTS && patient.stats().queue.paused) break
    assert.ok(Date.now() < deadline, `the worker heard ${count} of ${EVENTS}`)
    Atomics.wait(heard, 0, count, 20)
  }
  assert.deepEqual(lists, { patient: [], hasty: [] })
  const dropped = EVENTS - QUEUE
  assert.deepEqual(sums(hasty.stats()), { received: EVENTS, delivered: 0, dropped, queued: QUEUE })

  await until(() => lists.patient.length === EVENTS && lists.hasty.length === QUEUE)
  assert.deepEqual(lists, { patient: range(0, EVENTS - 1), hasty: range(dropped, EVENTS - 1) })
  const all = { received: EVENTS, delivered: EVENTS, dropped: 0, queued: 0 }
  const stats = once(worker, 'message')
  worker.postMessage('stats')
  assert.deepEqual(sums((await stats)[0]), all)
  assert.deepEqual(sums(patient.stats()), all)
  assert.deepEqual(sums(hasty.stats()), { received: EVENTS, delivered: QUEUE, dropped, queued: 0 })
  assert.equal(sim.counts().deliveries, 3 * EVENTS)
})
