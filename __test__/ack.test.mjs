import assert from 'node:assert/strict'
import { setImmediate as turn } from 'node:timers/promises'
import { test } from 'node:test'

import { Acknowledger } from '../lib/ack.js'
import { Pump } from '../lib/pump.js'
import { BatchStream, EventStream } from '../lib/stream.js'
import { FakeNative } from './support/fake-native.mjs'

// P4.5
function setUp({ listener, isManual = false, slice } = {}) {
  const native = new FakeNative({ slice })
  const acks = new Acknowledger(native, isManual)
  const world = { native, acks, listener, rests: 0 }
  const face = {
    controls: () => {},
    emit: (event) => {
      if (world.listener === undefined) return false
      world.listener(event)
      return true
    },
    isListening: () => world.listener !== undefined,
    rested: () => world.rests++,
  }
  world.pump = new Pump(native, face, { maxTurnMs: 1_000, bodies: 'text' }, acks)
  world.add = (count) => {
    native.add(count)
    world.pump.ring()
  }
  return world
}

const lastOf = (native) => native.acks.at(-1)

test('asking an iterator for the next event acknowledges the last, and nothing else does', async () => {
  const { native, pump, add } = setUp()
  const stream = new EventStream(pump)
  add(3)
  assert.equal((await stream.next()).value.sequence, 1)
  await turn()
  assert.deepEqual(native.acks, [])
  assert.equal((await stream.next()).value.sequence, 2)
  await turn()
  assert.deepEqual(native.acks, [1])
  await stream.next()
  const waiting = stream.next()
  await turn()
  assert.deepEqual(native.acks, [1, 3])
  add(1)
  assert.equal((await waiting).value.sequence, 4)
  await turn()
  assert.deepEqual(native.acks, [1, 3])
})

test('acknowledgements of one turn are one call', async () => {
  const { native, pump, add } = setUp()
  const stream = new EventStream(pump)
  add(100)
  for (let n = 0; n < 100; n++) await stream.next()
  assert.deepEqual(native.acks, [])
  await turn()
  assert.deepEqual(native.acks, [99])
})

test('a listener acknowledges by returning, and not before', async () => {
  const seen = []
  const world = setUp({ listener: ({ sequence }) => seen.push([sequence, world.native.acks.length]) })
  world.add(5)
  assert.deepEqual(
    seen,
    [1, 2, 3, 4, 5].map((sequence) => [sequence, 0]),
  )
  await turn()
  assert.deepEqual(world.native.acks, [5])
})

test('the slowest of all consumers decides', async () => {
  const world = setUp({ listener: () => {} })
  const { native, pump, add } = world
  const fast = new EventStream(pump)
  const slow = new BatchStream(pump, { maxEvents: 4, maxWaitMs: 0 })
  add(10)
  for (let n = 0; n < 8; n++) await fast.next()
  await turn()
  assert.deepEqual(native.acks, [])
  assert.equal((await slow.next()).value.length, 4)
  await turn()
  assert.deepEqual(native.acks, [])
  await slow.next()
  await turn()
  assert.deepEqual(native.acks, [4])
  await slow.next()
  await turn()
  assert.deepEqual(native.acks, [4, 7])
  const [ended] = await Promise.all([slow.return(), turn()])
  assert.equal(ended.done, true)
  assert.deepEqual(native.acks, [4, 7])
})

test('an iterator that is left has not acknowledged what it gave last, nor what it had not read', async () => {
  const { native, pump, add } = setUp()
  add(10)
  for await (const event of new EventStream(pump)) if (event.sequence === 3) break
  await turn()
  pump.ring()
  await turn()
  assert.deepEqual(native.acks, [2])
  const second = new EventStream(pump)
  assert.equal((await second.next()).value.sequence, 4)
  await turn()
  assert.deepEqual(native.acks, [2])
  await second.next()
  await turn()
  assert.deepEqual(native.acks, [2, 4])
})

test('an iterator that is left while others remain takes back only what it gave last', async () => {
  const world = setUp({ listener: () => {} })
  const stream = new EventStream(world.pump)
  world.add(10)
  for (let n = 0; n < 3; n++) await stream.next()
  await stream.return()
  await turn()
  assert.deepEqual(world.native.acks, [2])
  world.pump.ring()
  await turn()
  assert.deepEqual(world.native.acks, [2])
  world.add(1)
  await turn()
  assert.deepEqual(world.native.acks, [2, 11])
})

test('a listener that comes when the reader has gone is not taken to have heard the rest', async () => {
  const world = setUp({ slice: 10 })
  world.add(10)
  for await (const event of new EventStream(world.pump)) if (event.sequence === 3) break
  const heard = []
  world.listener = ({ sequence }) => {
    heard.push(sequence)
    if (sequence === 5) world.listener = undefined
  }
  world.pump.more()
  await turn()
  await turn()
  assert.deepEqual(heard, [4, 5])
  assert.equal(lastOf(world.native), 5)
})

test('with manualAck only ack() counts, and it refuses what was not delivered', async () => {
  const { native, acks, pump, add } = setUp({ isManual: true })
  const stream = new EventStream(pump)
  add(5)
  const events = []
  for (let n = 0; n < 4; n++) events.push((await stream.next()).value)
  await turn()
  assert.deepEqual(native.acks, [])
  acks.to(events[2], pump.names)
  acks.to(2, pump.names)
  await turn()
  assert.deepEqual(native.acks, [3])
  acks.to(5, pump.names)
  await turn()
  assert.deepEqual(native.acks, [3, 5])

  const other = setUp()
  other.add(1)
  const { value: foreign } = await new EventStream(other.pump).next()
  const wrong = [
    [6, 'not delivered yet; the last was 5'],
    [0, 'a whole number from 1'],
    [1.5, 'a whole number from 1'],
    [undefined, 'not undefined'],
    ['3', 'not a string'],
    [{ sequence: 3 }, 'not an object'],
    [foreign, 'an event of another client'],
  ]
  for (const [value, words] of wrong) {
    assert.throws(
      () => acks.to(value, pump.names),
      (error) => error.path === 'upTo' && error.message.includes(words),
      words,
    )
  }
  assert.throws(() => other.acks.to(1, other.pump.names), { path: 'manualAck' })
  acks.end()
  assert.throws(() => acks.to(1, pump.names), { code: 'CLOSED' })
})

test('the end tells at once what was reached, and nothing after it', async () => {
  const { native, acks, pump, add } = setUp()
  const stream = new EventStream(pump)
  add(5)
  for (let n = 0; n < 3; n++) await stream.next()
  acks.end()
  assert.deepEqual(native.acks, [2])
  await stream.next()
  await turn()
  assert.deepEqual(native.acks, [2])
})

test('draining hands over what was there, ends when readers are done with it, and keeps the rest', async () => {
  const world = setUp({ slice: 3 })
  const { pump, native, add } = world
  const stream = new EventStream(pump)
  add(4)
  let isDrained = false
  const drained = () => (isDrained = true)
  pump.drain(4, drained)
  add(4)
  const given = []
  for (let n = 0; n < 4; n++) given.push((await stream.next()).value.sequence)
  await turn()
  assert.deepEqual([given, isDrained], [[1, 2, 3, 4], false])
  const waiting = stream.next()
  assert.equal(isDrained, true)
  await turn()
  assert.equal(lastOf(native), 4)
  pump.stop()
  assert.deepEqual(await waiting, { value: undefined, done: true })
})

test('draining does not wait for an event that never comes, nor for nobody', async () => {
  const missing = setUp({ listener: () => {} })
  let count = 0
  missing.pump.drain(0, () => count++)
  missing.add(1)
  await turn()
  assert.equal(count, 1)
  assert.deepEqual(missing.native.acks, [])
  setUp().pump.drain(5, () => count++)
  assert.equal(count, 2)
})

test('an ended iterator of a journal gives nothing that could no longer be acknowledged', async () => {
  const { pump, add } = setUp()
  const stream = new EventStream(pump)
  add(3)
  await stream.next()
  pump.stop()
  assert.deepEqual(await stream.next(), { value: undefined, done: true })
})

test('what is to follow the turn follows it, also from within a listener', () => {
  const order = []
  const world = setUp({
    listener: ({ sequence }) => {
      order.push(sequence)
      if (sequence === 1) world.pump.afterTurn(() => order.push('after'))
    },
  })
  world.add(3)
  world.pump.afterTurn(() => order.push('now'))
  assert.deepEqual(order, [1, 2, 3, 'after', 'now'])
})

test('the flags of a row tell origin and redelivery', async () => {
  const { native, pump } = setUp()
  const stream = new EventStream(pump)
  for (const flags of [0, 1, 2, 4, 5]) native.add(1, { flags })
  pump.ring()
  const shown = []
  for (let n = 0; n < 5; n++) {
    const { value: event } = await stream.next()
    const json = event.toJSON()
    assert.equal(json.redelivered, event.redelivered)
    assert.equal('redelivered' in json, event.redelivered === true)
    shown.push([event.origin, event.redelivered])
  }
  assert.deepEqual(shown, [
    ['live', undefined],
    ['backfill', undefined],
    ['replay', undefined],
    ['live', true],
    ['backfill', true],
  ])
})
