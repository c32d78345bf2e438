import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { inspect } from 'node:util'

import { NotificationClient } from '../index.js'
import { QUICK, TOPIC, clientOf, simulator, until } from './support/world.mjs'

const SECRET = 'canary-client-secret-7f3a'
const REFRESH = 'canary-refresh-token-91bc'
const TOKEN = 'canary-access-token-55de'

/** Everything a client says, as one text: log lines, errors, states, gaps, figures, and what inspect shows of it. */
function overhear(client) {
  const heard = []
  const show = (value) => heard.push(inspect(value, { depth: 20, showHidden: true }), JSON.stringify(value) ?? '')
  for (const name of ['state', 'gap', 'topic', 'event']) client.on(name, show)
  client.on('error', (error) => {
    for (let at = error; at !== undefined; at = at.cause) (show(at), heard.push(at.stack ?? ''))
  })
  return {
    logger: Object.fromEntries(['debug', 'info', 'warn', 'error'].map((level) => [level, (line) => heard.push(line)])),
    text: () => {
      for (const value of [client, client.stats(), client.gaps(), client.topics(), client.health(), client.metrics()])
        show(value)
      return heard.join('\n')
    },
  }
}

/** The channel ids and connectUris that the simulator gave out. */
const channelSecrets = (sim) => sim.log().channels.flatMap(({ id }) => [id, `${sim.urls.streaming}/channels/${id}`])

function assertClean(text, secrets) {
  assert.ok(text.length > 0)
  for (const secret of secrets) {
    const at = text.indexOf(secret)
    assert.equal(at, -1, `found "${secret}" in: …${text.slice(Math.max(0, at - 200), at + 200)}…`)
  }
}

test('a run with every kind of trouble shows no secret', async (t) => {
  const clients = [{ id: 'the-id', secret: SECRET, refreshTokens: [REFRESH] }]
  const sim = await simulator(t, { clients, tokenLifeMs: 700 })
  const kept = []
  const lines = []
  const logger = Object.fromEntries(
    ['debug', 'info', 'warn', 'error'].map((level) => [level, (line) => lines.push(line)]),
  )
  const onRefreshToken = (refreshToken) => kept.push(refreshToken)
  const credentials = { clientId: 'the-id', clientSecret: SECRET, refreshToken: REFRESH, onRefreshToken }
  const client = clientOf(t, sim, { credentials, logger })
  const heard = overhear(client)
  await client.connect()
  const body = `{"message":"${SECRET} ${REFRESH}","code":"${SECRET}"}`
  for (const operation of ['createChannel', 'putSubscriptions', 'upgrade']) {
    sim.fault({ match: { operation }, action: { kind: 'status', status: 500, body } })
    sim.fault({ match: { operation }, action: { kind: 'garbage' } })
  }
  sim.fault({ match: { operation: 'token' }, action: { kind: 'status', status: 503, body } })
  sim.fault({
    match: { operation: 'createChannel' },
    action: { kind: 'connectUri', uri: `wss://evil.example/${TOKEN}/{id}` },
  })
  sim.fault({ match: { operation: 'socket' }, action: { kind: 'expire' } })
  await until(() => client.stats().drops >= 1)
  await client.connect()
  sim.fault({ match: { operation: 'socket' }, action: { kind: 'close', code: 4000, reason: SECRET } })
  await until(() => sim.log().sockets.some(({ closeCode }) => closeCode === 4000))
  await client.connect()
  await until(() => kept.length >= 2)
  // Not one event: with tokens this short, it might be published while the client is between two channels.
  sim.traffic({ ratePerSecond: 100 })
  await until(() => client.stats().delivered >= 1)
  await client.close()
  assertClean(`${heard.text()}\n${lines.join('\n')}`, [SECRET, REFRESH, TOKEN, ...kept, ...channelSecrets(sim)])
})

test('a token that the provider gives is shown nowhere, not even when it is refused', async (t) => {
  const sim = await simulator(t)
  const lines = []
  const logger = Object.fromEntries(
    ['debug', 'info', 'warn', 'error'].map((level) => [level, (line) => lines.push(line)]),
  )
  const accessToken = async () => ({ accessToken: TOKEN })
  const client = clientOf(t, sim, { credentials: { accessToken }, logger })
  const heard = overhear(client)
  const body = `{"message":"no such token ${TOKEN}","code":"bad.credentials","status":401}`
  sim.fault({ match: { operation: 'rest' }, action: { kind: 'status', status: 401, body } })
  await assert.rejects(client.connect(), { code: 'TOKEN_REJECTED' })
  assertClean(`${heard.text()}\n${lines.join('\n')}`, [TOKEN])
})

/** A token of the simulator's, as its client would get it. */
async function askForToken({ urls, credentials: { clientId, clientSecret } }) {
  const authorization = `Basic ${Buffer.from(`${clientId}:${clientSecret}`).toString('base64')}`
  const body = new URLSearchParams({ grant_type: 'client_credentials' })
  const answer = await fetch(`${urls.login}/oauth/token`, { method: 'POST', body, headers: { authorization } })
  return (await answer.json()).access_token
}

const KEY = 'canary-url-key-40aa'
const FIRST = 'canary-first-message-c1'
const ASKED = 'canary-subscribe-message-d2'
const ask = { message: `{"message":"subscribe","topic":"{topic}","key":"${ASKED}"}` }
/** Endpoints and the secrets in them. */
const ENDPOINTS = [
  [{ url: `/query?key=${KEY}&token={token}` }, [KEY]],
  [{ url: `/header?key=${KEY}`, auth: 'header', subscribe: ask }, [KEY, ASKED]],
  [{ url: `/since?key=${KEY}`, tokenParameter: 'token', resume: { parameter: 'since', pointer: '/timestamp' } }, [KEY]],
  [
    {
      url: `/first-message?key=${KEY}`,
      firstMessage: `{"access_token":"{token}","key":"${FIRST}"}`,
      ready: { pointer: '/event', equals: 'connected' },
      subscribe: ask,
      renewal: 'message',
    },
    [KEY, FIRST, ASKED],
  ],
]

for (const [{ url, ...members }, secrets] of ENDPOINTS) {
  test(`an endpoint at ${url.split('?')[0]} shows nothing of its templates or its token, whatever goes wrong`, async (t) => {
    const sim = await simulator(t, { gateway: { tokenParameter: 'token', readyDelayMs: 5 } })
    const lines = []
    const logger = Object.fromEntries(
      ['debug', 'info', 'warn', 'error'].map((level) => [level, (line) => lines.push(line)]),
    )
    const tokens = []
    const accessToken = async () => ({ accessToken: tokens[tokens.push(await askForToken(sim)) - 1], expiresInMs: 700 })
    const endpoint = { url: `${sim.urls.gateway}${url}`, ...members }
    const options = { endpoint, credentials: { accessToken }, topics: [TOPIC], ...QUICK, logger }
    const client = new NotificationClient(options)
    t.after(() => client.close())
    const heard = overhear(client)
    await client.connect()
    const echo = JSON.stringify({ error: secrets.join(' '), message: `${secrets} ${tokens}`, code: tokens[0] })
    for (const status of [500, 401, 400]) {
      sim.fault({ match: { operation: 'upgrade' }, action: { kind: 'status', status, body: echo } })
    }
    sim.fault({ match: { operation: 'upgrade' }, action: { kind: 'garbage' } })
    sim.fault({ match: { operation: 'socket' }, action: { kind: 'close', code: 4000, reason: secrets.join(' ') } })
    await until(() => client.stats().drops >= 1 && client.state !== 'connected')
    await client.connect()
    await until(() => tokens.length >= 3)
    await client.connect()
    const traffic = sim.traffic({ ratePerSecond: 100, topics: [TOPIC] })
    await until(() => client.stats().delivered >= 1)
    traffic.stop()
    await client.close()
    const text = `${heard.text()}\n${lines.join('\n')}`
    assert.match(text, /\[redacted\]/, 'nothing of what the server repeated was heard')
    assertClean(text, [...secrets, ...tokens])
  })
}

test('errors about options show no secret', () => {
  const wrong = [
    { region: 'us-east-1', credentials: { clientId: 'id', clientSecret: `${SECRET}\n` } },
    { region: 'us-east-1', credentials: { clientId: 'id', clientSecret: SECRET, refreshToken: [REFRESH] } },
    { region: 'us-east-1', credentials: { accessToken: TOKEN } },
    { region: 'us-east-1', credentials: SECRET },
    { region: 'us-east-1', credentials: { clientId: 'id', clientSecret: SECRET, [`x`]: SECRET } },
    { endpoint: { url: `wss://x.example/?${SECRET}`, firstMessage: TOKEN, auth: 'none' } },
    { endpoint: { url: `wss://x.example/?${SECRET}`, subscribe: { message: TOKEN } } },
    { endpoint: { url: `wss://x.example/?{${SECRET}}`, auth: 'none' } },
    { endpoint: { url: `wss://x.example/ ${SECRET}`, auth: 'none' } },
    { endpoint: { url: `wss://x.example/#${SECRET}`, auth: 'none' } },
    { endpoint: { url: SECRET, auth: 'none' } },
    {
      region: { login: `https://u:${SECRET}@x.example`, api: 'https://api.example.com' },
      credentials: { clientId: 'i', clientSecret: 's' },
    },
  ]
  for (const options of wrong) {
    assert.throws(
      () => new NotificationClient(options),
      (error) => {
        assertClean(`${inspect(error, { showHidden: true, depth: 20 })}${JSON.stringify(error)}`, [
          SECRET,
          REFRESH,
          TOKEN,
        ])
        return true
      },
    )
  }
})

test('a program that crashes while connected prints no secret', async (t) => {
  const sim = await simulator(t, { clients: [{ id: 'the-id', secret: SECRET }] })
  const index = new URL('../index.js', import.meta.url).href
  const options = {
    region: sim.urls,
    credentials: { clientId: 'the-id', clientSecret: SECRET },
    topics: [TOPIC],
    ...QUICK,
  }
  const source = `
    import { NotificationClient } from ${JSON.stringify(index)}
    const client = new NotificationClient({ ...${JSON.stringify({ ...options, credentials: undefined })}, credentials: {
      clientId: 'the-id', clientSecret: process.env.SECRET } })
    await client.connect()
    throw Object.assign(new Error('crash'), { client, stats: client.stats() })`
  const child = spawn(process.execPath, ['--input-type=module', '--eval', source], { env: { ...process.env, SECRET } })
  let text = ''
  child.stderr.on('data', (chunk) => (text += chunk))
  child.stdout.on('data', (chunk) => (text += chunk))
  const [code] = await once(child, 'close')
  assert.equal(code, 1)
  assert.match(text, /crash/)
  assertClean(text, [SECRET, ...channelSecrets(sim)])
})

test('the command line shows no secret', async (t) => {
  const sim = await simulator(t, { clients: [{ id: 'the-id', secret: SECRET }] })
  const cli = fileURLToPath(new URL('../bin/genesys-cloud-notifications.js', import.meta.url))
  const env = {
    ...process.env,
    GENESYS_CLIENT_ID: 'the-id',
    GENESYS_CLIENT_SECRET: SECRET,
    GENESYS_LOGIN_URL: sim.urls.login,
    GENESYS_API_URL: sim.urls.api,
    GENESYS_STREAMING_URL: sim.urls.streaming,
    GENESYS_TOPICS: TOPIC,
  }
  sim.traffic({ ratePerSecond: 50 })
  for (const args of [
    ['listen', '--seconds', '0.5'],
    ['doctor'],
    ['listen', '--json', '--seconds', '0.5'],
    ['demo', '--seconds', '1'],
  ]) {
    const child = spawn(process.execPath, [cli, ...args], { env })
    let text = ''
    child.stderr.on('data', (chunk) => (text += chunk))
    child.stdout.on('data', (chunk) => (text += chunk))
    const [code] = await once(child, 'close')
    assert.equal(code, 0, text)
    assertClean(text, [SECRET, ...channelSecrets(sim)])
  }
})
