import assert from 'node:assert/strict'
import { test } from 'node:test'

import { TOPIC, until, world } from './support/world.mjs'

const BODIES = [
  { n: 1, text: 'plain' },
  { n: 2, text: 'Müller, ÿ' },
  { n: 3, text: '漢字 😀' },
  // Beyond what crosses as a string.
  { n: 4, text: 'x'.repeat(100_000) },
  { n: 5, text: 'é😀'.repeat(20_000) },
  { n: 6, text: 'plain again' },
]

async function published(t, options) {
  const { sim, client } = await world(t, options)
  await client.connect()
  return { client, publish: () => BODIES.map((body) => sim.publish(TOPIC, body)) }
}

/** Checks what must hold of any batch, and returns its frames. */
function framesOf(batch) {
  assert.ok(Buffer.isBuffer(batch))
  assert.equal(batch[batch.length - 1], 10)
  const ends = [...batch.offsets.subarray(1), batch.length]
  return ends.map((end, i) => JSON.parse(batch.subarray(batch.offsets[i], end)))
}

async function read(batches, bodies = []) {
  const frames = []
  let last = 0
  for await (const batch of batches) {
    const some = framesOf(batch)
    assert.equal(batch.firstSequence, last + 1)
    assert.equal(batch.lastSequence, last + some.length)
    last = batch.lastSequence
    frames.push(...some)
    if (frames.length >= bodies.length) break
  }
  return frames
}

// P11.2
test('raw batches are the frames as JSON lines', async (t) => {
  const { client, publish } = await published(t)
  const reading = read(client.batches({ raw: true }), BODIES)
  publish()
  const frames = await reading
  assert.deepEqual(
    frames.map((frame) => frame.eventBody),
    BODIES,
  )
  assert.ok(frames.every(({ topicName, version }) => topicName === TOPIC && version === '2'))
})

test('they are cut at maxEvents, and other consumers see the same', async (t) => {
  const { client, publish } = await published(t)
  const seen = []
  client.on('event', (event) => seen.push(event.eventBody))
  const batches = client.batches({ raw: true, maxEvents: 2, maxWaitMs: 10_000 })
  publish()
  for (let i = 0; i < BODIES.length; i += 2) {
    const { value } = await batches.next()
    assert.deepEqual(
      framesOf(value).map((frame) => frame.eventBody),
      BODIES.slice(i, i + 2),
    )
  }
  assert.deepEqual(seen, BODIES)
})

test('large events are read like small ones', async (t) => {
  const { client, publish } = await published(t)
  const events = []
  client.on('event', (event) => events.push(event))
  publish()
  await until(() => events.length === BODIES.length)
  for (const [i, event] of events.entries()) {
    assert.deepEqual(event.eventBody, BODIES[i])
    assert.deepEqual(JSON.parse(event.raw).eventBody, BODIES[i])
    assert.equal(event.sequence, i + 1)
    assert.equal(event.metadata.CorrelationId.length, 36)
  }
})
