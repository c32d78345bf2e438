import assert from 'node:assert/strict'
import { setImmediate as turn } from 'node:timers/promises'
import { test } from 'node:test'

import { Pump } from '../lib/pump.js'
import { BatchStream, EventStream } from '../lib/stream.js'
import { FakeNative } from './support/fake-native.mjs'

function pumpOf(native, { emit, maxTurnMs = 1_000 } = {}) {
  const heard = []
  const face = {
    controls: (list) => heard.push(...list),
    emit: emit ?? (() => false),
    isListening: () => emit !== undefined,
    rested: () => {},
  }
  return Object.assign(new Pump(native, face, { maxTurnMs, bodies: 'auto' }), { heard })
}

const sequences = (events) => events.map((event) => event.sequence)
const upTo = (n) => Array.from({ length: n }, (_, i) => i + 1)

test('events wait in the native queue until somebody is there', async () => {
  const native = new FakeNative()
  const pump = pumpOf(native)
  native.add(3)
  pump.ring()
  assert.equal(native.waiting, 3)
  const stream = new EventStream(pump)
  assert.deepEqual((await stream.next()).value.eventBody, { n: 1 })
  assert.equal(native.waiting, 0)
})

test('controls are heard before the events that were taken with them', () => {
  const native = new FakeNative()
  const order = []
  const pump = pumpOf(native, { emit: (event) => Boolean(order.push(event.sequence)) })
  native.add(2)
  native.controls.push({ type: 'gap' })
  pump.ring()
  assert.deepEqual(pump.heard, [{ type: 'gap' }])
  assert.deepEqual(order, [1, 2])
})

test('one turn ends when its time is over, and the rest follows in later turns', async () => {
  const native = new FakeNative()
  const seen = []
  const busy = (event) => {
    seen.push(event.sequence)
    const until = performance.now() + 0.5
    while (performance.now() < until);
    return true
  }
  const pump = pumpOf(native, { emit: busy, maxTurnMs: 2 })
  native.add(100)
  pump.ring()
  assert.ok(seen.length >= 1 && seen.length < 30, `${seen.length} events in one turn`)
  while (seen.length < 100) await turn()
  assert.deepEqual(seen, upTo(100))
})

test('a slow iterator holds everything back, and nothing is lost', async () => {
  const native = new FakeNative()
  const pump = pumpOf(native)
  const fast = new EventStream(pump)
  const slow = new EventStream(pump)
  native.add(2_000)
  pump.ring()
  await turn()
  assert.ok(native.waiting > 1_000, `${native.waiting} left in the queue`)
  const read = async (stream) => {
    const events = []
    while (events.length < 2_000) events.push((await stream.next()).value)
    return sequences(events)
  }
  const [a, b] = await Promise.all([read(fast), read(slow)])
  assert.deepEqual(a, upTo(2_000))
  assert.deepEqual(b, upTo(2_000))
})

test('what an only reader leaves unread goes to the next one', async () => {
  const native = new FakeNative()
  const pump = pumpOf(native)
  native.add(10)
  const first = []
  for await (const event of new EventStream(pump)) {
    first.push(event)
    if (first.length === 3) break
  }
  const second = new EventStream(pump)
  const rest = []
  while (rest.length < 7) rest.push((await second.next()).value)
  assert.deepEqual(sequences([...first, ...rest]), upTo(10))
})

test('an event for which the last listener has just gone is kept', async () => {
  const native = new FakeNative({ slice: 5 })
  let listening = true
  const seen = []
  const heard = []
  const face = {
    controls: (list) => heard.push(...list),
    emit: (event) => {
      if (!listening) return false
      seen.push(event.sequence)
      listening = event.sequence !== 2
      return true
    },
    isListening: () => listening,
    rested: () => {},
  }
  const pump = new Pump(native, face, { maxTurnMs: 1_000, bodies: 'auto' })
  native.add(5)
  pump.ring()
  assert.deepEqual(seen, [1, 2])
  const stream = new EventStream(pump)
  assert.equal((await stream.next()).value.sequence, 3)
})

test('an ended stream gives what it holds, then ends or throws once', async () => {
  const native = new FakeNative()
  const pump = pumpOf(native)
  const ends = new EventStream(pump)
  native.add(2)
  pump.ring()
  await turn()
  pump.stop(new Error('failed'))
  assert.equal((await ends.next()).value.sequence, 1)
  assert.equal((await ends.next()).value.sequence, 2)
  await assert.rejects(ends.next(), { message: 'failed' })
  assert.deepEqual(await ends.next(), { value: undefined, done: true })
  await assert.rejects(new EventStream(pump).next(), { message: 'failed' })
})

test('an aborted stream throws the reason and leaves no listener behind', async () => {
  const pump = pumpOf(new FakeNative())
  const controller = new AbortController()
  const stream = new EventStream(pump, controller.signal)
  const waiting = stream.next()
  controller.abort(new Error('enough'))
  await assert.rejects(waiting, { message: 'enough' })
  assert.deepEqual(await stream.next(), { value: undefined, done: true })
  await assert.rejects(new EventStream(pump, AbortSignal.abort(new Error('early'))).next(), { message: 'early' })
})

test('several waiting calls of next are served in order, and return ends them', async () => {
  const native = new FakeNative()
  const pump = pumpOf(native)
  const stream = new EventStream(pump)
  const calls = [stream.next(), stream.next(), stream.next()]
  native.add(2)
  pump.ring()
  assert.equal((await calls[0]).value.sequence, 1)
  assert.equal((await calls[1]).value.sequence, 2)
  await stream.return()
  assert.deepEqual(await calls[2], { value: undefined, done: true })
})

test('batches are cut at maxEvents, at once or after maxWaitMs', async () => {
  const native = new FakeNative()
  const pump = pumpOf(native)
  const atOnce = new BatchStream(pump, { maxEvents: 10, maxWaitMs: 0 })
  native.add(25)
  pump.ring()
  const sizes = [await atOnce.next(), await atOnce.next(), await atOnce.next()].map(({ value }) => value.length)
  assert.deepEqual(sizes, [10, 10, 5])
  await atOnce.return()

  const patient = new BatchStream(pump, { maxEvents: 4, maxWaitMs: 20 })
  native.add(3)
  pump.ring()
  const batch = patient.next()
  native.add(2)
  pump.ring()
  assert.deepEqual(sequences((await batch).value), [26, 27, 28, 29])
  assert.deepEqual(sequences((await patient.next()).value), [30])
  await patient.return()
})
