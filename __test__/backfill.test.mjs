import assert from 'node:assert/strict'
import { test } from 'node:test'

import { BackfillRunner } from '../lib/backfill.js'
import { TOPIC, until, world } from './support/world.mjs'

const gap = { id: 'gap-1', from: 1, to: 2, topics: [TOPIC] }

/** A native side that takes items, and answers calls as the test says. */
function fakeOf(fill, { answer, full = false } = {}) {
  const said = []
  const errors = []
  let number = 0
  const native = {
    apiCall(method, path, body) {
      const call = ++number
      said.push([method, path, body])
      if (answer !== undefined) queueMicrotask(() => runner.answer({ call, ...answer }))
      return call
    },
    backfillItem(id, topic, body) {
      said.push(['item', id, topic, body])
      return full ? ++number : null
    },
    backfillDone: (id, outcome) => said.push(['done', id, outcome]),
  }
  const runner = new BackfillRunner(native, fill, (error) => errors.push(error))
  return { runner, said, errors }
}

test('what the function yields is handed over item by item, and its end is told', async () => {
  const { runner, said, errors } = fakeOf(async function* (given) {
    assert.deepEqual(given, gap)
    yield { topicName: TOPIC, eventBody: { n: 1 } }
    yield { topicName: TOPIC, eventBody: null }
  })
  await runner.request(gap)
  assert.deepEqual(said, [
    ['item', 'gap-1', TOPIC, '{"n":1}'],
    ['item', 'gap-1', TOPIC, 'null'],
    ['done', 'gap-1', 'yes'],
  ])
  assert.deepEqual(errors, [])
})

test('an item waits until there is room for it', async () => {
  const { runner, said } = fakeOf(() => [1, 2].map((n) => ({ topicName: TOPIC, eventBody: n })), { full: true })
  const running = runner.request(gap)
  await until(() => said.length === 1)
  await new Promise(setImmediate)
  assert.equal(said.length, 1)
  runner.answer({ call: 1, status: 204, body: '' })
  await until(() => said.length === 2)
  runner.answer({ call: 2, status: 204, body: '' })
  await running
  assert.deepEqual(said.at(-1), ['done', 'gap-1', 'yes'])
})

test('the API is called with path, query and body, and answers with JSON or an error', async () => {
  const answers = []
  const good = fakeOf(
    async (_, api) => {
      answers.push(await api.get('/api/v2/users', { id: ['a', 'b c'], expand: undefined, pageSize: 5 }))
      answers.push(await api.post('/api/v2/analytics/x/query?y=1', { interval: 'i' }, { z: true }))
      return []
    },
    { answer: { status: 200, body: '{"total":3}' } },
  )
  await good.runner.request(gap)
  assert.deepEqual(answers, [{ total: 3 }, { total: 3 }])
  assert.deepEqual(good.said, [
    ['GET', '/api/v2/users?id=a&id=b+c&pageSize=5', undefined],
    ['POST', '/api/v2/analytics/x/query?y=1&z=true', '{"interval":"i"}'],
    ['done', 'gap-1', 'yes'],
  ])

  const report = { code: 'FORBIDDEN', message: 'no permission', retryable: false, status: 403 }
  const refused = fakeOf((_, api) => fail(api.get('/api/v2/users')), { answer: { error: report } })
  await refused.runner.request(gap)
  const { code, cause } = refused.errors[0]
  assert.deepEqual([code, cause.code, cause.status], ['BACKFILL_FAILED', 'FORBIDDEN', 403])
})

/** Yields nothing, after a while. */
async function* fail(promise) {
  await promise
  yield* []
}

test('what cannot be handed over ends the gap, in part if something was, and says why', async () => {
  const good = { topicName: TOPIC, eventBody: 1 }
  const circular = {}
  circular.self = circular
  const table = [
    [() => 5, 'no', 'must return an async iterable, as an async function* does, not a number'],
    [() => 'text', 'no', 'must return an async iterable'],
    [() => undefined, 'no', 'not undefined'],
    [() => Promise.reject(new Error('vault is sealed')), 'no', 'vault is sealed'],
    [() => [5], 'no', 'items[0]: must be { topicName, eventBody }, not a number'],
    [() => [good, { eventBody: 1 }], 'partial', 'items[1].topicName: must be a string'],
    [
      () => [{ ...good, topicName: 'v2.users.w.presence' }],
      'no',
      'items[0].topicName: "v2.users.w.presence" is not one',
    ],
    [() => [{ topicName: TOPIC }], 'no', 'items[0].eventBody: cannot be written as JSON: it is undefined'],
    [() => [{ topicName: TOPIC, eventBody: circular }], 'no', 'items[0].eventBody: cannot be written as JSON'],
    [() => [{ topicName: TOPIC, eventBody: 5n }], 'no', 'items[0].eventBody: cannot be written as JSON'],
    [(_, api) => fail(api.get('https://elsewhere/api/v2/x')), 'no', 'path: must begin with "/api/v2/"'],
    [(_, api) => fail(api.get('/api/v2/x', 'id=5')), 'no', 'query: must be an object'],
  ]
  for (const [fill, outcome, words] of table) {
    const { runner, said, errors } = fakeOf(fill)
    await runner.request(gap)
    assert.deepEqual(said.at(-1), ['done', 'gap-1', outcome], words)
    assert.equal(errors.length, 1)
    assert.equal(errors[0].code, 'BACKFILL_FAILED')
    assert.ok(errors[0].message.includes(words), `${errors[0].message} / ${words}`)
    assert.ok(errors[0].message.includes('gap-1'))
  }
})

test('a function that hangs is left behind at the end, and told', async () => {
  let returned = false
  const endless = {
    [Symbol.asyncIterator]: () => ({
      next: () => new Promise(() => {}),
      return: () => {
        returned = true
        return new Promise(() => {})
      },
    }),
  }
  const { runner, said, errors } = fakeOf(() => endless)
  const running = runner.request(gap)
  await new Promise(setImmediate)
  runner.stop()
  await running
  assert.deepEqual([returned, said, errors], [true, [], []])

  const calling = fakeOf((_, api) => fail(api.get('/api/v2/never')))
  const waiting = calling.runner.request(gap)
  await until(() => calling.said.length === 1)
  calling.runner.stop()
  await waiting
  assert.deepEqual(calling.errors, [])
})

/** Loses a socket, and waits until the gap of it has its last word. */
async function loseAndFill(sim, client) {
  const heard = []
  client.on('gap', ({ id, to, backfilled }) => heard.push([id, to === null ? 'open' : 'closed', backfilled]))
  client.on('event', (event) => heard.push(['event', event.origin, event.eventBody]))
  await client.connect()
  sim.fault({ match: { operation: 'socket' }, action: { kind: 'reset' } })
  await until(() => heard.filter(([id, state]) => id === 'gap-1' && state === 'closed').length === 2, 'the last word')
  return heard
}

test('a function of the user fills a gap: open, closed, events, filled', async (t) => {
  const asked = []
  const { sim, client } = await world(t, {
    backfill: async function* ({ id, topics }, api) {
      asked.push(await api.get('/api/v2/users/presences/purecloud/bulk', { id: 'u' }))
      for (let n = 0; n < 100; n++) yield { topicName: topics[0], eventBody: { id, n } }
    },
  })
  const heard = await loseAndFill(sim, client)
  const items = Array.from({ length: 100 }, (_, n) => ['event', 'backfill', { id: 'gap-1', n }])
  assert.deepEqual(heard, [['gap-1', 'open', 'no'], ['gap-1', 'closed', 'no'], ...items, ['gap-1', 'closed', 'yes']])
  assert.equal(asked.length, 1)
  assert.equal(client.gaps()[0].backfilled, 'yes')
  assert.match(client.metrics(), /^genesys_notifications_gaps_kept\{backfilled="yes"\} 1$/m)
})

test('recipes fill a gap, and a refused call is an error and leaves it unfilled', async (t) => {
  const { sim, client } = await world(t, { backfill: { recipes: ['presence'], marginMs: 0, latencyMs: 0 } })
  const heard = await loseAndFill(sim, client)
  const filled = heard.filter(([what]) => what === 'event')
  assert.ok(filled.length >= 1 && filled.every(([, origin]) => origin === 'backfill'), JSON.stringify(heard))
  assert.notEqual(client.gaps()[0].backfilled, 'no')

  const refused = await world(t, {
    backfill: (_, api) => fail(api.get('/api/v2/nothing/here')),
  })
  const errors = []
  refused.client.on('error', (error) => errors.push(error))
  await loseAndFill(refused.sim, refused.client)
  const error = await until(() => errors.find(({ code }) => code === 'BACKFILL_FAILED'))
  assert.equal(error.cause.status, 404)
  assert.equal(refused.client.gaps()[0].backfilled, 'no')
})

test('close() does not wait for a function that hangs', async (t) => {
  const { sim, client } = await world(t, { backfill: () => new Promise(() => {}) })
  await client.connect()
  sim.fault({ match: { operation: 'socket' }, action: { kind: 'reset' } })
  await until(() => client.gaps().length === 1 && client.gaps()[0].to !== null)
  await client.close()
  assert.equal(client.state, 'closed')
})
