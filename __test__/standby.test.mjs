import assert from 'node:assert/strict'
import { test } from 'node:test'

import { TOPIC, account, collect, until, world } from './support/world.mjs'

/** Waits until a copy has come: by then each of the two channels has shown that it carries what the other does. */
async function untilBothCarry(sim, client) {
  await until(() => client.stats().standbyLive === 1, 'a standby')
  const { duplicates } = client.stats()
  await until(() => {
    sim.publish(TOPIC, { probe: performance.now() })
    return client.stats().duplicates > duplicates
  }, 'a copy')
}

const isQuiet = (client) => client.state === 'connected' && client.stats().gaps.open === 0

// P3.8
test(
  'standby: either socket killed every 2 s costs no event, no duplicate and no gap',
  { timeout: 60_000 },
  async (t) => {
    const { sim, client } = await world(t, { continuity: 'standby' })
    const seen = collect(client)
    client.on('error', () => {})
    await client.connect()
    await untilBothCarry(sim, client)
    assert.equal(client.health().status, 'ok')
    const traffic = sim.traffic({ ratePerSecond: 200, topics: [TOPIC] })
    for (let kill = 0; kill < 5; kill++) {
      const { drops } = client.stats()
      const sockets = sim.channels().filter(({ connected }) => connected)
      const { id } = sockets.sort((a, b) => a.createdAt - b.createdAt)[kill % 2]
      const begin = Date.now()
      sim.fault({ match: { operation: 'socket', channelId: id }, action: { kind: 'reset' } })
      await until(() => client.stats().drops > drops, 'the loss was noticed')
      await untilBothCarry(sim, client)
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, begin + 2_000 - Date.now())))
    }
    traffic.stop()
    await until(() => seen.size === sim.counts().published, `${seen.size} of ${sim.counts().published}`)
    assert.deepEqual(client.gaps(), [])
    const { unreported, reported, duplicates } = account(sim, client, seen)
    assert.deepEqual([unreported, reported, duplicates], [[], 0, 0])
    assert.equal(client.state, 'connected')
    const { skew, duplicates: copies, singleSided } = client.stats()
    t.diagnostic(`${copies} copies, ${singleSided} single-sided, skew ${JSON.stringify(skew)}`)
    assert.ok(skew.pairs > 0 && skew.p50Ms <= skew.p999Ms)
  },
)

test('a missing standby degrades health, and takes nothing from the stream', async (t) => {
  const { sim, client } = await world(t, { continuity: 'standby' })
  client.on('error', () => {})
  await client.connect()
  await untilBothCarry(sim, client)
  sim.fault({ match: { operation: 'upgrade' }, action: { kind: 'refuse' }, times: null })
  const [{ id }] = sim.channels().filter(({ connected }) => connected)
  sim.fault({ match: { operation: 'socket', channelId: id }, action: { kind: 'reset' } })
  await until(() => client.stats().standbyLive === 0, 'the standby is missing')
  assert.deepEqual([client.health().status, client.health().ready], ['degraded', true])
  assert.deepEqual(client.health().reasons, ['1 of 1 standbys missing'])
  assert.match(client.metrics(), /^genesys_notifications_standby_live 0$/m)
  assert.deepEqual(client.gaps(), [])
  sim.clearFaults()
  await until(() => client.stats().standbyLive === 1, 'a standby again')
  assert.equal(client.health().status, 'ok')
})

// P3: expiry, token, maintenance, topic change and rotate(), 500 events a second.
test('20 planned rotations lose nothing, repeat nothing and leave no gap', { timeout: 90_000 }, async (t) => {
  const others = ['v2.users.u.station', 'v2.users.u.routingStatus', 'v2.users.w.presence']
  const { sim, client } = await world(t, {
    topics: [TOPIC, ...others],
    sim: { tokenLifeMs: 1_500, channelLifeMs: 2_000, maintenanceGraceMs: 1_000 },
  })
  const seen = collect(client)
  const told = []
  client.on('error', ({ code, message }) => told.push(`${code}: ${message}`))
  await client.connect()
  const traffic = sim.traffic({ ratePerSecond: 500, topics: [TOPIC, ...others] })
  const extra = 'v2.users.x.presence'
  const kinds = [
    () => sim.fault({ match: { operation: 'socket' }, action: { kind: 'socketClosing' } }),
    () => client.rotate().catch(() => {}),
    () => client.subscribe(extra),
    () => client.unsubscribe(extra),
    // The channel's or the token's end is near enough.
    () => {},
  ]
  for (let n = 0; client.stats().rotations < 20; n++) {
    const { rotations } = client.stats()
    kinds[n % kinds.length]()
    await until(
      () => client.stats().rotations > rotations,
      () => `rotation ${rotations + 1}: ${told.join('; ')}`,
    )
  }
  traffic.stop()
  await until(() => seen.size === sim.counts().published, `${seen.size} of ${sim.counts().published}`)
  await until(() => isQuiet(client))
  const { published, unreported, reported, duplicates } = account(sim, client, seen)
  t.diagnostic(`${client.stats().rotations} rotations, ${published} events`)
  assert.deepEqual(client.gaps(), [])
  assert.deepEqual([unreported, reported, duplicates], [[], 0, 0])
})
