import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'

import { TOPIC, until, world } from './support/world.mjs'

const get = async (server, path) => {
  const response = await fetch(`http://127.0.0.1:${server.address().port}${path}`)
  return { status: response.status, type: response.headers.get('content-type'), text: await response.text() }
}

test('health follows the state, and names what is wrong', async (t) => {
  const { sim, client } = await world(t, {
    topics: [TOPIC, 'v2.users.u.station'],
    sim: { forbidden: [{ topic: 'v2.users.{id}.station' }] },
  })
  assert.deepEqual([client.health().status, client.health().ready], ['down', false])
  await client.connect()
  const partly = client.health()
  assert.deepEqual([partly.status, partly.ready], ['degraded', true])
  assert.deepEqual(partly.reasons, ['1 of 2 topics rejected'])
  await client.unsubscribe('v2.users.u.station')
  assert.deepEqual(client.health().reasons, [])
  assert.equal(client.health().status, 'ok')
  sim.fault({ match: { operation: 'upgrade' }, action: { kind: 'refuse' }, times: null })
  sim.fault({ match: { operation: 'socket' }, action: { kind: 'reset' } })
  await until(() => client.state === 'reconnecting')
  assert.deepEqual([client.health().status, client.health().ready], ['degraded', false])
  assert.equal(client.health().gaps.open, 1)
})

test('the server answers /health, /live, /ready and /metrics, and goes with the client', async (t) => {
  const { sim, client } = await world(t)
  const server = await client.serveHealth()
  assert.equal((await get(server, '/health')).status, 503)
  assert.equal((await get(server, '/live')).status, 200)
  assert.equal((await get(server, '/ready')).status, 503)
  await client.connect()
  sim.publish(TOPIC, { a: 1 })
  await once(client, 'event')
  const health = await get(server, '/health?verbose=1')
  assert.deepEqual([health.status, health.type, JSON.parse(health.text).status], [200, 'application/json', 'ok'])
  assert.equal((await get(server, '/ready')).status, 200)
  assert.equal((await get(server, '/nowhere')).status, 404)
  const metrics = await get(server, '/metrics')
  assert.match(metrics.type, /^text\/plain; version=0\.0\.4/)
  assert.match(metrics.text, /^genesys_notifications_state\{state="connected"\} 1$/m)
  assert.match(metrics.text, /^genesys_notifications_events_delivered_total 1$/m)
  assert.match(metrics.text, /^genesys_notifications_delivery_latency_seconds\{quantile="0\.99"\} \d/m)
  for (const line of metrics.text.trim().split('\n')) {
    assert.match(line, /^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{[a-z_]+="[^"]*"\})? -?[\d.]+(e[+-]?\d+)?)$/)
  }
  await assert.rejects(client.serveHealth({ port: server.address().port }), { code: 'EADDRINUSE' })
  const closed = once(server, 'close')
  await client.close()
  await closed
})

test('stats are a plain object of plain numbers', async (t) => {
  const { sim, client } = await world(t)
  await client.connect()
  for (let n = 0; n < 10; n++) sim.publish(TOPIC, { n })
  client.on('event', () => {})
  await until(() => client.stats().delivered === 10)
  const stats = client.stats()
  assert.deepEqual(structuredClone(stats), stats)
  for (const name of ['delivered', 'dropped', 'duplicates', 'received', 'filtered', 'conflated', 'attempt', 'drops'])
    assert.equal(typeof stats[name], 'number', name)
  assert.ok(stats.latency.p50 >= 0 && stats.latency.p99 >= stats.latency.p50)
  assert.ok(stats.tokenExpiresInMs > 0 && stats.channels[0].expiresInMs > 0 && stats.lastFrameAgeMs >= 0)
})
