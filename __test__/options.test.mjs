import assert from 'node:assert/strict'
import { resolve } from 'node:path'
import { test } from 'node:test'

import { ConfigurationError, NotificationClient, topic } from '../index.js'
import { RECIPES } from '../lib/backfill-options.js'
import { readOptions } from '../lib/options.js'

const region = 'us-east-1'
const credentials = { clientId: 'id', clientSecret: 'canary-secret' }
const accessToken = async () => ({ accessToken: 'canary-token' })
const valid = { region, credentials }
const path = 'events.db'

const url = 'wss://gateway.example.com/events?key=canary-key'
const resume = { parameter: 'since', pointer: '/timestamp' }
/** Options of a direct endpoint that has these members beside its url. */
const direct = (endpoint, more) => ({ credentials: { accessToken }, endpoint: { url, ...endpoint }, ...more })
const resumed = (cursor, more) => direct({ resume }, { cursor, ...more })

/** Wrong options, the path that the error names, and words of its message. */
const WRONG = [
  [undefined, 'options', 'must be an object, not undefined'],
  [null, 'options', 'not null'],
  ['us-east-1', 'options', 'not a string'],
  [[], 'options', 'not an array'],
  [() => {}, 'options', 'not a function'],
  [{ credentials }, 'region', 'is required'],
  [{ ...valid, region: 5 }, 'region', 'must be a string'],
  [{ ...valid, region: 'us-east-9' }, 'region', 'us-east-1'],
  [{ ...valid, region: { api: 'https://api.example.com' } }, 'region.login', 'must be a URL'],
  [{ ...valid, region: { login: 'https://l.example.com', api: 5 } }, 'region.api', 'must be a URL'],
  [{ ...valid, region: { login: 'http://l.example.com', api: 'https://api.example.com' } }, 'region.login', 'loopback'],
  [
    { ...valid, region: { login: 'https://l.example.com', api: 'https://x.example.com' } },
    'region.streaming',
    'needed',
  ],
  [
    { ...valid, region: { login: 'https://l.e.com', api: 'https://api.e.com', streamin: '' } },
    'region.streamin',
    'did you mean',
  ],
  [{ region }, 'credentials', 'is required'],
  [{ region, credentials: 'canary-secret' }, 'credentials', 'must be an object'],
  [{ region, credentials: {} }, 'credentials.clientId', 'is required'],
  [{ region, credentials: { clientId: 'id' } }, 'credentials.clientSecret', 'is required'],
  [{ region, credentials: { clientId: 'id', clientSecret: '' } }, 'credentials.clientSecret', 'must not be empty'],
  [
    { region, credentials: { clientId: 'id', clientSecret: 'canary-secret\n' } },
    'credentials.clientSecret',
    'white space',
  ],
  [{ region, credentials: { clientId: 5, clientSecret: 's' } }, 'credentials.clientId', 'must be a string'],
  [{ region, credentials: { ...credentials, secret: 's' } }, 'credentials.secret', 'unknown option'],
  [{ region, credentials: { accessToken: 'canary-token' } }, 'credentials.accessToken', 'must be a function'],
  [{ region, credentials: { accessToken, clientId: 'id' } }, 'credentials.clientId', 'unknown option'],
  [{ region, credentials: { ...credentials, refreshToken: 5 } }, 'credentials.refreshToken', 'must be a string'],
  [{ region, credentials: { ...credentials, onRefreshToken() {} } }, 'credentials.onRefreshToken', 'refreshToken'],
  [
    { region, credentials: { ...credentials, refreshToken: 'r', onRefreshToken: 5 } },
    'credentials.onRefreshToken',
    'function',
  ],
  [{ ...valid, topics: 5 }, 'topics', 'an iterable of topics'],
  [{ ...valid, delivery: { topics: 'v2.users.*.presence' } }, 'delivery.topics', 'must be an array of patterns'],
  [{ ...valid, delivery: { topics: [] } }, 'delivery.topics', 'must not be empty'],
  [{ ...valid, delivery: { topics: ['v2.users.*.**', 5] } }, 'delivery.topics[1]', 'must be a string'],
  [{ ...valid, delivery: { topics: ['v2.us*.u.presence'] } }, 'delivery.topics[0]', 'whole segment'],
  [{ ...valid, topics: [5] }, 'topics[0]', 'must be a topic name'],
  [{ ...valid, topics: ['v2.users.u.presence', ''] }, 'topics[1]', 'must not be empty'],
  [{ ...valid, topics: ['v2.users.{id}.presence'] }, 'topics[0]', 'placeholder'],
  [{ ...valid, topics: ['v2.users.u.presence', 'users.u'] }, 'topics[1]', 'v2.'],
  [{ ...valid, topics: ['v2.system.socket_closing'] }, 'topics[0]', 'by itself'],
  [{ ...valid, continuity: 'overlapp' }, 'continuity', `did you mean "overlap"`],
  [{ ...valid, continuity: 'standbye' }, 'continuity', `did you mean "standby"`],
  [{ ...valid, queue: 5 }, 'queue', 'must be an object'],
  [{ ...valid, queue: { maxEvents: 0 } }, 'queue.maxEvents', 'between 1 and'],
  [{ ...valid, queue: { maxEvents: 1.5 } }, 'queue.maxEvents', 'whole number'],
  [{ ...valid, queue: { maxBytes: 1 } }, 'queue.maxBytes', 'between 1024 and'],
  [{ ...valid, queue: { onFull: 'drop' } }, 'queue.onFull', `'dropOldest'`],
  [{ ...valid, network: { connectTimeoutMs: -1 } }, 'network.connectTimeoutMs', 'between 1 and'],
  [{ ...valid, network: { requestTimeoutMs: NaN } }, 'network.requestTimeoutMs', 'whole number'],
  [{ ...valid, network: { proxy: 'env' } }, 'network.proxy', 'not supported', 'NOT_SUPPORTED'],
  [{ ...valid, network: { ca: 'pem' } }, 'network.ca', 'holds no certificate'],
  [{ ...valid, network: { ca: true } }, 'network.ca', 'must be PEM'],
  [{ ...valid, network: { ca: [Buffer.alloc(0)] } }, 'network.ca[0]', 'holds no certificate'],
  [{ ...valid, network: { clientCertificate: 'pem' } }, 'network.clientCertificate', 'not supported', 'NOT_SUPPORTED'],
  [{ ...valid, network: { timeoutMs: 5 } }, 'network.timeoutMs', 'unknown option'],
  [{ ...valid, heartbeat: { silenceMS: 5 } }, 'heartbeat.silenceMS', `did you mean "silenceMs"`],
  [{ ...valid, heartbeat: { silenceMs: '35000' } }, 'heartbeat.silenceMs', 'must be a number, not "35000"'],
  [{ ...valid, heartbeat: { silenceMs: Infinity } }, 'heartbeat.silenceMs', 'whole number'],
  [{ ...valid, heartbeat: { silenceMs: 100, pingAfterMs: 100 } }, 'heartbeat.pingAfterMs', 'less than silenceMs'],
  [{ ...valid, backoff: { initialMs: 50, maxMs: 20 } }, 'backoff.initialMs', 'must not exceed maxMs'],
  [{ ...valid, backoff: { maxMs: 100, suspendedMaxMs: 50 } }, 'backoff.suspendedMaxMs', 'below maxMs'],
  [{ ...valid, rotation: { tokenRenewalFraction: 1 } }, 'rotation.tokenRenewalFraction', 'between 0.1 and 0.95'],
  [{ ...valid, rotation: { overlapMs: null } }, 'rotation.overlapMs', 'not null'],
  [{ ...valid, rotation: { auditMs: -1 } }, 'rotation.auditMs', 'between 0 and'],
  [{ ...valid, delivery: { maxTurnMs: 0 } }, 'delivery.maxTurnMs', 'between 1 and'],
  [{ ...valid, delivery: { maxDepth: 7 } }, 'delivery.maxDepth', 'between 8 and 128'],
  [{ ...valid, delivery: { maxDepth: 64.5 } }, 'delivery.maxDepth', 'whole number'],
  [{ ...valid, delivery: { maxWaitMs: 5n } }, 'delivery.maxWaitMs', 'not 5n'],
  [{ ...valid, logger: 'console' }, 'logger', 'debug, info, warn and error'],
  [{ ...valid, logger: { info() {}, warn() {}, error() {} } }, 'logger.debug', 'must be a function'],
  [{ ...valid, signal: 5 }, 'signal', 'AbortSignal'],
  [{ ...valid, signal: {} }, 'signal', 'AbortSignal'],
  [{ ...valid, journal: 'events.db' }, 'journal', 'must be an object, not a string'],
  [{ ...valid, journal: {} }, 'journal.path', 'is required'],
  [{ ...valid, journal: { path: '' } }, 'journal.path', 'must not be empty'],
  [{ ...valid, journal: { path: 5 } }, 'journal.path', 'must be the path of a file'],
  [{ ...valid, journal: { path: 'a\0b' } }, 'journal.path', 'zero byte'],
  [{ ...valid, journal: { path, maxByte: 1 } }, 'journal.maxByte', `did you mean "maxBytes"`],
  [{ ...valid, journal: { path, maxBytes: 1_000 } }, 'journal.maxBytes', 'between 1048576 and'],
  [{ ...valid, journal: { path, maxAgeMs: -1 } }, 'journal.maxAgeMs', 'between 0 and'],
  [{ ...valid, journal: { path, onFull: 'dropOldest' } }, 'journal.onFull', `'evictOldest'`],
  [{ ...valid, journal: { path, sync: 'never' } }, 'journal.sync', `'interval'`],
  [{ ...valid, journal: { path, syncIntervalMs: 5 } }, 'journal.syncIntervalMs', `sync: 'interval'`],
  [
    { ...valid, journal: { path, sync: 'interval', syncIntervalMs: 0 } },
    'journal.syncIntervalMs',
    'between 1 and 60000',
  ],
  [{ ...valid, journal: { path }, queue: { onFull: 'dropOldest' } }, 'queue.onFull', 'journal.onFull'],
  [{ ...valid, manualAck: true }, 'manualAck', 'set journal.path'],
  [{ ...valid, manualAck: 'yes' }, 'manualAck', 'true or false'],
  [{ ...valid, backfill: 5 }, 'backfill', 'a function or an object'],
  [{ ...valid, backfill: ['presence'] }, 'backfill', 'not an array'],
  [{ ...valid, backfill: { recipes: ['presense'] } }, 'backfill.recipes[0]', `did you mean "presence"`],
  [{ ...valid, backfill: { recipes: [undefined] } }, 'backfill.recipes[0]', 'not undefined'],
  [{ ...valid, backfill: { recipes: 'presence' } }, 'backfill.recipes', `'all'`],
  [{ ...valid, backfill: { recipes: [] } }, 'backfill.recipes', 'backfill: false'],
  [{ ...valid, backfill: { custom: {} } }, 'backfill.custom', 'must be a function'],
  [{ ...valid, backfill: { marginMs: -1 } }, 'backfill.marginMs', 'between 0 and'],
  [{ ...valid, backfill: { latencyMs: 0.5 } }, 'backfill.latencyMs', 'whole number'],
  [{ ...valid, backfill: { margin: 1 } }, 'backfill.margin', `did you mean "marginMs"`],
  [{ ...valid, cursor: { path: 'x' } }, 'cursor', 'needs endpoint.resume'],
  [{ ...valid, topic: ['v2.users.u.presence'] }, 'topic', `did you mean "topics"`],
]

const CANARY = 'canary-template {token}'
const SUBSCRIBE = '{"topic":"{topic}"}'

/** The same of direct endpoints and cursors. */
const WRONG_DIRECT = [
  [direct(undefined, { endpoint: 'canary' }), 'endpoint', 'must be an object, not a string'],
  [direct(undefined, { endpoint: null }), 'endpoint', 'not null'],
  [direct({ url: undefined }), 'endpoint.url', 'is required'],
  [direct({ url: 5 }), 'endpoint.url', 'must be a string, not a number'],
  [direct({ url: '' }), 'endpoint.url', 'must not be empty'],
  [direct({ url: 'https://canary.example.com' }), 'endpoint.url', 'must begin with wss://'],
  [direct({ url: 'canary.example.com' }), 'endpoint.url', 'must begin with wss://'],
  [direct({ url: 'wss://' }), 'endpoint.url', 'host'],
  [direct({ url: 'wss://a b.example.com/?canary' }), 'endpoint.url', 'host'],
  [direct({ url: 'wss://{token}.example.com/' }), 'endpoint.url', 'placeholder in the host'],
  [direct({ url: 'wss://u:canary@x.example.com' }), 'endpoint.url', 'user name or password'],
  [direct({ url: 'ws://x.example.com/?canary' }), 'endpoint.url', '"x.example.com" is not loopback'],
  [direct({ url: `${url}&x={cursor}` }), 'endpoint.url', 'needs resume'],
  [direct({ auth: 'queri' }), 'endpoint.auth', 'did you mean "query"'],
  [direct({ auth: 'header', tokenParameter: 't' }), 'endpoint.tokenParameter', `auth: 'query'`],
  [direct({ tokenParameter: '' }), 'endpoint.tokenParameter', 'must not be empty'],
  [direct({ tokenParameter: 5 }), 'endpoint.tokenParameter', 'must be a string, not 5'],
  [direct({ tokenParameter: 't', url: `${url}&t={token}` }), 'endpoint.tokenParameter', 'where url holds {token}'],
  [direct({ auth: 'query', firstMessage: CANARY }), 'endpoint.firstMessage', `auth: 'firstMessage'`],
  [direct({ firstMessage: { token: 'canary' } }), 'endpoint.firstMessage', 'must be a string, not an object'],
  [direct({ firstMessage: `${CANARY} {cursor}` }), 'endpoint.firstMessage', 'needs resume'],
  [direct({ ready: true }), 'endpoint.ready', 'must be an object'],
  [direct({ ready: { equals: 1 } }), 'endpoint.ready.pointer', 'is required'],
  [direct({ ready: { pointer: 'event', equals: 1 } }), 'endpoint.ready.pointer', 'does not begin with /'],
  [direct({ ready: { pointer: '/event' } }), 'endpoint.ready.equals', 'is required'],
  [direct({ ready: { pointer: '/event', equals: () => 'canary' } }), 'endpoint.ready.equals', 'not a function'],
  [direct({ ready: { pointer: '/event', equals: { canary: 5n } } }), 'endpoint.ready.equals', 'as JSON'],
  [direct({ ready: { pointer: '/e', equals: 1, timeoutMs: 5 } }), 'endpoint.ready.timeoutMs', 'between 10 and 3600000'],
  [direct({ ready: { pointer: '/e', equal: 'canary' } }), 'endpoint.ready.equal', 'did you mean "equals"'],
  [direct({ subscribe: SUBSCRIBE }), 'endpoint.subscribe', 'must be an object'],
  [direct({ subscribe: {} }), 'endpoint.subscribe.message', 'is required'],
  [direct({ subscribe: { message: { topic: 'canary' } } }), 'endpoint.subscribe.message', 'must be a string'],
  [direct({ subscribe: { message: 'canary' } }), 'endpoint.subscribe.message', 'must hold {topic}'],
  [direct({ subscribe: { message: `${SUBSCRIBE}{cursor}` } }), 'endpoint.subscribe.message', 'needs resume'],
  [direct({ event: { topic: 'topicName' } }), 'endpoint.event.topic', 'does not begin with /'],
  [direct({ event: { body: 5 } }), 'endpoint.event.body', 'JSON Pointer'],
  [direct({ event: { id: '/a~2' } }), 'endpoint.event.id', 'neither 0 nor 1'],
  [direct({ event: { batch: 1 } }), 'endpoint.event.batch', 'true, false, or a JSON Pointer'],
  [direct({ event: { batch: 'events' } }), 'endpoint.event.batch', 'does not begin with /'],
  [direct({ event: { topics: '/x' } }), 'endpoint.event.topics', 'did you mean "topic"'],
  [direct({ resume: { parameter: 'since' } }), 'endpoint.resume.pointer', 'is required'],
  [direct({ resume: { pointer: '/timestamp' } }), 'endpoint.resume.parameter', '{cursor}'],
  [direct({ resume: { ...resume, parameter: 5 } }), 'endpoint.resume.parameter', 'must be a string'],
  [direct({ resume, url: `${url}&since={cursor}` }), 'endpoint.resume.parameter', 'url holds {cursor}'],
  [direct({ resume, firstMessage: '{cursor}' }), 'endpoint.resume.parameter', 'firstMessage holds {cursor}'],
  [direct({ resume: { ...resume, initial: '' } }), 'endpoint.resume.initial', 'must not be empty'],
  [direct({ resume: { ...resume, initial: new Date() } }), 'endpoint.resume.initial', 'must be a string'],
  [direct({ resume: { ...resume, inclusive: 1 } }), 'endpoint.resume.inclusive', 'true or false'],
  [direct({ renewal: 'messages' }), 'endpoint.renewal', 'did you mean "message"'],
  [direct({ renewal: 'message' }), 'endpoint.renewal', `auth: 'firstMessage'`],
  [direct({ proxy: 'x' }), 'endpoint.proxy', 'unknown option'],
  [direct({}, { credentials: undefined }), 'credentials', 'is required'],
  [direct({ auth: 'none', url: `${url}{token}` }, { credentials: undefined }), 'endpoint.url', 'there is no token'],
  [
    direct({ auth: 'none', subscribe: { message: '{topic}{token}' } }),
    'endpoint.subscribe.message',
    'there is no token',
  ],
  [direct({ auth: 'none' }, { credentials: undefined, region, backfill: true }), 'backfill', 'needs a token'],
  [direct({}, { credentials }), 'region', '{ login }'],
  [direct({}, { credentials, region: { api: 'https://api.example.com' } }), 'region.login', 'must be a URL'],
  [direct({}, { backfill: true }), 'region', '{ login, api }'],
  [
    direct({}, { credentials, region: { login: 'https://login.example.com' }, backfill: true }),
    'region.api',
    'must be a URL',
  ],
  [direct({}, { rotation: { beforeExpiryMs: 1 } }), 'rotation.beforeExpiryMs', 'without endpoint.lifetimeMs'],
  [direct({ lifetimeMs: 99 }), 'endpoint.lifetimeMs', 'between 100'],
  [direct({ lifetimeMs: 'long' }), 'endpoint.lifetimeMs', 'must be'],
  [direct({}, { rotation: { auditMs: 1 } }), 'rotation.auditMs', 'with an endpoint'],
  [direct({}, { manualAck: true }), 'manualAck', 'or a cursor'],
  [direct({}, { cursor: { path: 'x' } }), 'cursor', 'needs endpoint.resume'],
  [resumed('canary'), 'cursor', 'must be { path } or { load, save }'],
  [resumed({}), 'cursor.path', 'is required'],
  [resumed({ path: '' }), 'cursor.path', 'must not be empty'],
  [resumed({ path: 5 }), 'cursor.path', 'must be the path of a file'],
  [resumed({ file: 'x' }), 'cursor.file', 'unknown option'],
  [resumed({ load() {} }), 'cursor.save', 'must be a function'],
  [resumed({ load: 'canary', save() {} }), 'cursor.load', 'must be a function, not a string'],
  [resumed({ load() {}, save() {}, path: 'x' }), 'cursor.path', 'beside load and save'],
  [resumed({ load() {}, save() {}, intervalMs: 5 }), 'cursor.intervalMs', 'unknown option'],
  [resumed({ path: 'x' }, { queue: { onFull: 'dropOldest' } }), 'queue.onFull', 'the cursor would pass over'],
]

/** Options of direct endpoints that are right, and what the core is told of endpoint and cursor. */
const DIRECT = [
  [direct({}), { url, auth: 'query', renewal: 'reconnect' }],
  [direct({ auth: 'none' }, { credentials: undefined }), { url, auth: 'none', renewal: 'reconnect' }],
  [direct({ auth: 'none' }), { url, auth: 'none' }],
  [direct({ lifetimeMs: 60_000 }, { rotation: { beforeExpiryMs: 5_000 } }), { lifetimeMs: 60_000 }],
  [direct({}, { credentials, region: { login: 'https://login.example.com' } }), { url, auth: 'query' }],
  [direct({ url: 'ws://[::1]:1/x?{token}' }), { url: 'ws://[::1]:1/x?{token}', auth: 'query' }],
  [direct({ url: 'WS://localhost/' }), { url: 'WS://localhost/' }],
  [direct({ firstMessage: CANARY, renewal: 'message' }), { auth: 'firstMessage', renewal: 'message' }],
  [direct({ auth: 'firstMessage' }), { auth: 'firstMessage' }],
  [direct({ ready: { pointer: '', equals: null } }), { ready: { pointer: '', equals: null, timeoutMs: 10_000 } }],
  [direct({ event: { topic: '/a~1b', batch: true } }), { event: { topic: '/a~1b', batch: true } }],
  [direct({ event: { batch: '/events' } }), { event: { batch: '/events' } }],
  [
    direct({ resume: { pointer: '/t', inclusive: false }, subscribe: { message: `${SUBSCRIBE}{cursor}` } }),
    { resume: { pointer: '/t', inclusive: false }, subscribe: { message: `${SUBSCRIBE}{cursor}` } },
  ],
  [resumed({ path: 'x' }, { manualAck: true }), { resume }, { kind: 'file', path: resolve('x') }],
  [resumed({ load() {}, save() {} }), { resume }, { kind: 'functions' }],
]

test(`each of ${WRONG.length + WRONG_DIRECT.length} wrong options gives an error that names its path`, () => {
  for (const [options, path, words, code = 'INVALID_OPTION'] of [...WRONG, ...WRONG_DIRECT]) {
    assert.throws(
      () => new NotificationClient(options),
      (error) => {
        assert.ok(error instanceof ConfigurationError, `${path}: ${error}`)
        assert.equal(error.path, path, error.message)
        assert.equal(error.code, code, error.message)
        assert.ok(error.message.startsWith(`${path}: `), error.message)
        assert.ok(error.message.includes(words), `${error.message} / ${words}`)
        assert.doesNotMatch(error.message, /canary/)
        return true
      },
    )
  }
})

/** Wrong arguments of methods. */
const WRONG_ARGUMENTS = [
  [(client) => client.subscribe(5), 'topics'],
  [(client) => client.subscribe(undefined), 'topics'],
  [(client) => client.subscribe(['nope']), 'topics[0]'],
  [(client) => client.subscribe('v2.users.u.presence', 'id'), ''],
  [(client) => client.subscribe('v2.users.u.presence', { selects: [] }), 'selects'],
  [(client) => client.subscribe('v2.users.u.presence', { select: 'id' }), 'select'],
  [(client) => client.subscribe('v2.users.u.presence', { select: [] }), 'select'],
  [(client) => client.subscribe('v2.users.u.presence', { select: ['id', 5] }), 'select[1]'],
  [(client) => client.subscribe('v2.users.u.presence', { select: ['id', 'a..b'] }), 'select[1]'],
  [(client) => client.subscribe('v2.users.u.presence', { select: ['\ud800'] }), 'select[0]'],
  [(client) => client.subscribe('v2.users.u.presence', { select: new Array(101).fill('id') }), 'select'],
  [(client) => client.subscribe('v2.users.u.presence', { conflate: 5 }), 'conflate'],
  [(client) => client.subscribe('v2.users.u.presence', { conflate: null }), 'conflate'],
  [(client) => client.subscribe('v2.users.u.presence', { conflate: {} }), 'conflate.maxPerSecond'],
  [(client) => client.subscribe('v2.users.u.presence', { conflate: { maxPerSecond: 0 } }), 'conflate.maxPerSecond'],
  [(client) => client.subscribe('v2.users.u.presence', { conflate: { perSecond: 1 } }), 'conflate.perSecond'],
  [(client) => client.unsubscribe([null]), 'topics[0]'],
  [(client) => client.setTopics([{}]), 'topics[0]'],
  [(client) => client.connect({ signal: 'x' }), 'signal'],
  [(client) => client.connect({ timeoutMs: 5 }), 'timeoutMs'],
  [(client) => client.close({ drainMs: -1 }), 'drainMs'],
  [(client) => client.serveHealth({ port: 70_000 }), 'port'],
  [(client) => client.serveHealth({ host: '' }), 'host'],
  [async (client) => client.events({ signal: 5 }), 'signal'],
  [async (client) => client.batches({ maxEvents: 0 }), 'maxEvents'],
  [async (client) => client.batches({ maxWaitMs: 1e9 }), 'maxWaitMs'],
  [async (client) => client.batches({ raw: 'yes' }), 'raw'],
  [async (client) => client.ack(1), 'manualAck'],
  [async (client) => client.replay({ from: 0 }), 'journal'],
]

test('each wrong argument of a method gives an error that names it', async () => {
  const client = new NotificationClient(valid)
  for (const [call, path, code = 'INVALID_OPTION'] of WRONG_ARGUMENTS) {
    await assert.rejects(
      () => call(client),
      (error) => error instanceof ConfigurationError && error.path === path && error.code === code,
      path,
    )
  }
  await client.close()
})

test('small times, undefined members and every kind of topic are accepted', async () => {
  const client = new NotificationClient({
    ...valid,
    topics: new Set(['v2.users.u.presence', 'v2.users.u?station&routingStatus', { topic: 'v2.users.w.presence' }]),
    journal: undefined,
    manualAck: false,
    backfill: false,
    queue: { maxEvents: undefined },
    heartbeat: { silenceMs: 1_000 },
    backoff: { initialMs: 50 },
    logger: console,
  })
  assert.deepEqual(
    client
      .topics()
      .map(({ topic, state }) => [topic, state])
      .sort(),
    [
      ['v2.users.u.presence', 'pending'],
      ['v2.users.u.routingStatus', 'pending'],
      ['v2.users.u.station', 'pending'],
      ['v2.users.w.presence', 'pending'],
    ].sort(),
  )
  await client.close()
})

test('options of a journal and of backfill reach the core with their defaults', () => {
  const { core, ...rest } = readOptions({ ...valid, journal: { path }, manualAck: true, backfill: true })
  assert.deepEqual(core.journal, {
    path: resolve(path),
    maxBytes: 2 ** 30,
    maxAgeMs: 86_400_000,
    onFull: 'pause',
    sync: 'always',
  })
  assert.deepEqual([rest.journalPath, rest.manualAck, core.rotation.auditMs], [resolve(path), true, 300_000])
  assert.deepEqual(core.backfill, { recipes: RECIPES, custom: false, marginMs: 60_000, latencyMs: 60_000 })
  const interval = { path, sync: 'interval' }
  assert.equal(readOptions({ ...valid, journal: interval }).core.journal.syncIntervalMs, 1_000)

  const fill = async function* () {}
  const times = { marginMs: 60_000, latencyMs: 60_000 }
  const table = [
    [undefined, null, undefined],
    [false, null, undefined],
    [fill, { recipes: [], custom: true, ...times }, fill],
    [{ custom: fill }, { recipes: [], custom: true, ...times }, fill],
    [{ custom: fill, recipes: 'all', marginMs: 0 }, { recipes: RECIPES, custom: true, ...times, marginMs: 0 }, fill],
    [{ recipes: ['presence', 'presence'] }, { recipes: ['presence'], custom: false, ...times }, undefined],
    [{ latencyMs: 5 }, { recipes: RECIPES, custom: false, ...times, latencyMs: 5 }, undefined],
  ]
  for (const [backfill, expected, custom] of table) {
    const read = readOptions({ ...valid, backfill })
    assert.deepEqual(read.core.backfill, expected)
    assert.equal(read.backfill, custom)
  }
})

test('options of a direct endpoint reach the core as they are, with their defaults', () => {
  for (const [options, endpoint, cursor = null] of DIRECT) {
    const { core, isDirect } = readOptions(options)
    assert.deepEqual({ ...core.endpoint, ...endpoint }, core.endpoint)
    assert.deepEqual([core.cursor, isDirect], [cursor, true])
  }
  const { core, isDirect, keeper } = readOptions(valid)
  assert.deepEqual([core.endpoint, core.cursor, isDirect, keeper], [null, null, false, undefined])
})

test('a cursor may be kept by an instance of a class', () => {
  class Store {
    path = 'a member of its own'
    load() {}
    save() {}
  }
  const store = new Store()
  assert.equal(readOptions(resumed(store)).cursor, store)
})

test('topic() fills placeholders and refuses what is no id', () => {
  assert.equal(topic('v2.users.{id}.presence', 'u-1'), 'v2.users.u-1.presence')
  assert.equal(topic('v2.users.{userId}.conversations.{conversationId}', 'u', 'c'), 'v2.users.u.conversations.c')
  assert.equal(topic('v2.outbound.settings'), 'v2.outbound.settings')
  assert.throws(() => topic('v2.users.{id}.presence'), { path: 'ids', code: 'INVALID_OPTION' })
  assert.throws(() => topic('v2.outbound.settings', 'x'), { path: 'ids' })
  assert.throws(() => topic('v2.users.{id}.presence', 'a.b'), { path: 'ids[0]' })
  assert.throws(() => topic('v2.users.{id}.presence', 5), { path: 'ids[0]' })
  assert.throws(() => topic(5), { path: 'pattern' })
})
