'use strict'

const { setTimeout: sleep } = require('node:timers/promises')

const { expandTopics } = require('../native')

const USERS = ['0f3a7a1e-5d1c-4a53-9a52-6a1f5a4d0001', '0f3a7a1e-5d1c-4a53-9a52-6a1f5a4d0002']
const QUEUE = '9c2f4b60-8d5e-4c21-b7aa-3d1e5b7f0003'
const NAMES = [
  ...USERS.map((user) => `v2.users.${user}?presence&routingStatus&station`),
  `v2.routing.queues.${QUEUE}.users`,
  `v2.analytics.queues.${QUEUE}.observations`,
]
const TOPICS = expandTopics(NAMES)

/** How long a token lives, and how long the token endpoint stays down after it has expired, as parts of the run. */
const TOKEN_LIFE = 0.16
const TOKEN_OUTAGE = 0.03

const FAULTS = [
  [0.05, 'the connection is reset', ({ sim }) => onSocket(sim, { kind: 'reset' })],
  [0.12, 'the server closes the socket with 1011', ({ sim }) => onSocket(sim, { kind: 'close', code: 1011 })],
  [
    0.18,
    'maintenance is announced: the socket closes soon',
    ({ sim, ms }) => onSocket(sim, { kind: 'socketClosing', graceMs: ms(0.04) }),
  ],
  [0.26, 'another client takes the channel’s place', ({ sim }) => onSocket(sim, { kind: 'evict' })],
  [0.34, 'the socket stalls: open, but silent', ({ sim }) => onSocket(sim, { kind: 'stall' })],
  [0.43, 'the channel expires, and creating one is answered with 429', tooManyRequests],
  [0.54, 'the connection is reset, and upgrades are refused with 503', refusedUpgrades],
  [0.62, 'the token endpoint is down, until after the token has expired', tokenOutage],
  [0.88, 'the API answers with 500, and the socket is reset', serverErrors],
  [0.93, 'rotate(): every channel is replaced', ({ client }) => client.rotate().catch(() => {})],
]

function onSocket(sim, action) {
  sim.fault({ match: { operation: 'socket' }, action })
}

function tooManyRequests({ sim }) {
  sim.fault({ match: { operation: 'createChannel' }, action: { kind: 'status', status: 429, retryAfter: 1 } })
  onSocket(sim, { kind: 'expire' })
}

function refusedUpgrades({ sim }) {
  sim.fault({ match: { operation: 'upgrade' }, action: { kind: 'status', status: 503 }, times: 2 })
  onSocket(sim, { kind: 'reset' })
}

function tokenOutage({ sim, client, ms }) {
  const fault = sim.fault({ match: { operation: 'token' }, action: { kind: 'status', status: 503 }, times: null })
  const left = client.stats().tokenExpiresInMs ?? 0
  return { after: left + ms(TOKEN_OUTAGE), what: 'the token endpoint is back', undo: () => fault.clear() }
}

function serverErrors({ sim }) {
  sim.fault({ match: { operation: 'rest' }, action: { kind: 'status', status: 500 }, times: 2 })
  onSocket(sim, { kind: 'reset' })
}

/** Goes through the faults; resolves at the end of the run. */
async function script({ sim, client, seconds, signal, tell }) {
  const begin = Date.now()
  const ms = (part) => Math.round(part * seconds * 1000)
  const until = (at) => sleep(Math.max(0, begin + at - Date.now()), undefined, { signal })
  const undoing = []
  for (const [part, what, act] of FAULTS) {
    await until(ms(part))
    tell(what)
    const more = act({ sim, client, ms })
    if (more?.undo) undoing.push(later(until(ms(part) + more.after), more, tell))
  }
  await until(ms(1))
  await Promise.all(undoing)
}

async function later(time, { what, undo }, tell) {
  await time
  tell(what)
  undo()
}

function simulatorOptions(seconds) {
  return { heartbeatMs: 300, tokenLifeMs: Math.round(TOKEN_LIFE * seconds * 1000), rateLimit: 10_000 }
}

function clientOptions(sim, seconds) {
  return {
    region: sim.urls,
    credentials: sim.credentials,
    heartbeat: { pingAfterMs: 500, pongTimeoutMs: 200, silenceMs: 1_000 },
    backoff: { initialMs: 100, maxMs: 1_000, healthyMs: Math.round(seconds * 20) },
    rotation: { overlapMs: 300 },
  }
}

module.exports = { NAMES, TOPICS, clientOptions, script, simulatorOptions }
