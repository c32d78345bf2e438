import assert from 'node:assert/strict'
import { test } from 'node:test'

import { ConfigurationError } from '../index.js'
import { Simulator } from '../simulator.js'
import { directClient, endpoints } from './support/direct.mjs'
import { simulator } from './support/world.mjs'

test('the log tells of a gateway connection what its type says', async (t) => {
  const sim = await simulator(t)
  await directClient(t, sim, endpoints(sim).firstMessage, { topics: ['a'] }).connect()
  const [connection] = sim.log().gateway
  assert.deepEqual(Object.keys(connection), [
    'id',
    'socket',
    'endpoint',
    'openedAt',
    'status',
    'token',
    'position',
    'readyAt',
    'earlyFrames',
    'asked',
    'renewals',
    'endedAt',
    'ended',
    'closeCode',
    'events',
    'replayed',
  ])
  assert.deepEqual(
    connection.asked.map(({ topic }) => topic),
    ['a'],
  )
  assert.equal(sim.counts().gateway, 1)
  assert.equal(sim.urls.gateway, `${sim.urls.streaming}/gateway`)
})

for (const [option, value] of Object.entries({
  badToken: 'loud',
  closeCode: 1006,
  connectLimit: 0,
  retentionMs: -1,
  sinse: 1,
}))
  test(`the simulator refuses gateway.${option} by its name`, async () => {
    const isNamed = ({ message }) => message.includes(`gateway.${option}`)
    await assert.rejects(
      Simulator.start({ gateway: { [option]: value } }),
      (error) => error instanceof ConfigurationError && isNamed(error),
    )
  })
