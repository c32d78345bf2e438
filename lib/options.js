'use strict'

const { ca } = require('./authorities')
const { abortSignal, choice, group, kind, number, optionalFunction, planned } = require('./check')
const { isObject, join, refuseUnknown, requireObject, show, texts, wrong } = require('./check')
const { backfill } = require('./backfill-options')
const { cursor } = require('./cursor-options')
const { checkWithEndpoint, endpoint } = require('./endpoint-options')
const { checkWithJournal, journal, manualAck } = require('./journal-options')
const { topicNames } = require('./topics')

const HOUR = 3_600_000

/** Every option by name. Ranges and defaults are documented in `index.d.ts`. */
const OPTIONS = {
  region,
  credentials,
  topics: (value, path) => (value === undefined ? [] : topicNames(value, path)),
  continuity: choice({ of: ['overlap', 'standby', 'reconnect'], fallback: 'overlap' }),
  queue: group({
    maxEvents: number({ min: 1, max: 10_000_000, fallback: 100_000 }),
    maxBytes: number({ min: 1_024, max: 1_073_741_824, fallback: 4_194_304 }),
    onFull: choice({ of: ['pause', 'dropOldest', 'dropNewest'], fallback: 'pause' }),
  }),
  network: group({
    connectTimeoutMs: number({ min: 1, max: HOUR, fallback: 15_000 }),
    requestTimeoutMs: number({ min: 1, max: HOUR, fallback: 30_000 }),
    proxy: planned,
    ca,
    clientCertificate: planned,
    clientKey: planned,
  }),
  heartbeat: heartbeat(),
  backoff: backoff(),
  rotation: group({
    beforeExpiryMs: number({ min: 0, max: 24 * HOUR }),
    overlapMs: number({ min: 0, max: HOUR, fallback: 5_000 }),
    tokenRenewalFraction: number({ min: 0.1, max: 0.95, integer: false, fallback: 0.8 }),
    auditMs: number({ min: 0, max: 24 * HOUR, fallback: 300_000 }),
  }),
  delivery: group({
    maxWaitMs: number({ min: 0, max: 60_000, fallback: 1 }),
    maxTurnMs: number({ min: 1, max: 10_000, fallback: 1 }),
    bodies: choice({ of: ['auto', 'text', 'shaped'], fallback: 'auto' }),
    maxDepth: number({ min: 8, max: 128, fallback: 64 }),
    topics: texts({ of: 'patterns' }),
  }),
  logger,
  signal: abortSignal,
  journal,
  manualAck,
  backfill,
  endpoint,
  cursor,
}

/**
 * Checks the options of a client once and for all.
 *
 * `core` is what the native side reads; the rest stays in JavaScript.
 */
function readOptions(given) {
  requireObject(given, 'options')
  const options = group(OPTIONS)(given, '')
  checkWithEndpoint(options, given)
  checkNeeded(options)
  checkWithJournal(options, given)
  const { credentials, logger, signal, delivery, manualAck, backfill, cursor, ...core } = options
  return {
    core: {
      ...core,
      network: { ...core.network, nodeExtraCaFile: process.env.NODE_EXTRA_CA_CERTS || undefined },
      credentials: credentials?.core,
      delivery: { maxWaitMs: delivery.maxWaitMs, maxDepth: delivery.maxDepth, topics: delivery.topics },
      backfill: backfill.core,
      cursor: cursor.core,
    },
    isDirect: core.endpoint !== null,
    journalPath: core.journal?.path,
    keeper: keeper(core.journal, cursor.core),
    cursor: cursor.store,
    manualAck,
    backfill: backfill.custom,
    accessToken: credentials?.accessToken,
    onRefreshToken: credentials?.onRefreshToken,
    requestTimeoutMs: core.network.requestTimeoutMs,
    delivery: { maxTurnMs: delivery.maxTurnMs, bodies: delivery.bodies },
    logger,
    signal,
  }
}

/** The word for what promises every event, if something does. */
function keeper(journal, cursor) {
  if (journal !== null) return 'journal'
  return cursor === null ? undefined : 'cursor'
}

function region(value, path) {
  if (value === undefined || typeof value === 'string') return value
  if (!isObject(value)) throw wrong(path, `must be a string or an object of base URLs, not ${show(value)}`)
  // The urls of a simulator are given as they are.
  refuseUnknown(value, path, ['login', 'api', 'streaming', 'gateway'])
  const urls = {}
  for (const name of ['login', 'api', 'streaming']) {
    if (value[name] === undefined) continue
    if (typeof value[name] !== 'string') throw wrong(join(path, name), `must be a URL, not ${show(value[name])}`)
    urls[name] = value[name]
  }
  return urls
}

/** With an endpoint a token is not always needed, nor hosts of the service. */
function checkNeeded({ region, credentials, endpoint, backfill }) {
  const hosts = []
  const needsApi = endpoint === null || backfill.core !== null
  const asksForTokens = endpoint?.auth !== 'none' && credentials !== undefined
  if (needsApi || (asksForTokens && credentials.core.kind !== 'provider')) hosts.push('login')
  if (needsApi) hosts.push('api')
  if (hosts.length > 0 && region === undefined) {
    throw wrong('region', `is required, as in 'us-east-1', 'mypurecloud.ie' or { ${hosts.join(', ')} }`)
  }
  for (const name of hosts) {
    if (typeof region !== 'string' && region[name] === undefined) {
      throw wrong(`region.${name}`, 'is required and must be a URL')
    }
  }
  if (credentials === undefined && endpoint?.auth !== 'none') {
    throw wrong('credentials', 'is required: { clientId, clientSecret } or { accessToken }')
  }
}

function credentials(value, path) {
  if (value === undefined) return undefined
  requireObject(value, path)
  if (value.accessToken !== undefined) {
    refuseUnknown(value, path, ['accessToken'])
    return { core: { kind: 'provider' }, accessToken: optionalFunction(value.accessToken, join(path, 'accessToken')) }
  }
  refuseUnknown(value, path, ['clientId', 'clientSecret', 'refreshToken', 'onRefreshToken', 'accessToken'])
  const core = {
    kind: value.refreshToken === undefined ? 'clientCredentials' : 'refreshToken',
    clientId: secret(value.clientId, join(path, 'clientId')),
    clientSecret: secret(value.clientSecret, join(path, 'clientSecret')),
  }
  if (value.refreshToken !== undefined) core.refreshToken = secret(value.refreshToken, join(path, 'refreshToken'))
  const onRefreshToken = optionalFunction(value.onRefreshToken, join(path, 'onRefreshToken'))
  if (onRefreshToken && value.refreshToken === undefined) {
    throw wrong(join(path, 'onRefreshToken'), 'is of no use without refreshToken')
  }
  return { core, onRefreshToken }
}

/** A secret never appears in the message, not even a wrong one. */
function secret(value, path) {
  if (value === undefined) throw wrong(path, 'is required')
  if (typeof value !== 'string') throw wrong(path, `must be a string, not ${kind(value)}`)
  if (value === '') throw wrong(path, 'must not be empty')
  if (value !== value.trim()) throw wrong(path, 'begins or ends with white space, which no Genesys Cloud secret does')
  return value
}

function heartbeat() {
  const read = group({
    pingAfterMs: number({ min: 1, max: 24 * HOUR }),
    pongTimeoutMs: number({ min: 1, max: HOUR }),
    silenceMs: number({ min: 2, max: 24 * HOUR, fallback: 35_000 }),
  })
  return (value, path) => {
    const { silenceMs, ...given } = read(value, path)
    // Whoever shortens only silenceMs still wants a ping before it: 20 s and 5 s of 35 s, in proportion.
    const pingAfterMs = given.pingAfterMs ?? Math.min(20_000, Math.max(1, Math.floor((silenceMs * 4) / 7)))
    const pongTimeoutMs = given.pongTimeoutMs ?? Math.min(5_000, Math.max(1, Math.floor(silenceMs / 7)))
    if (pingAfterMs >= silenceMs) {
      throw wrong(join(path, 'pingAfterMs'), `must be less than silenceMs (${silenceMs}), not ${pingAfterMs}`)
    }
    return { pingAfterMs, pongTimeoutMs, silenceMs }
  }
}

function backoff() {
  const limit = { min: 1, max: 24 * HOUR }
  const read = group({
    initialMs: number(limit),
    maxMs: number(limit),
    suspendedMaxMs: number(limit),
    healthyMs: number({ min: 0, max: 24 * HOUR, fallback: 60_000 }),
  })
  return (value, path) => {
    const given = read(value, path)
    const maxMs = given.maxMs ?? Math.max(30_000, given.initialMs ?? 0)
    const initialMs = given.initialMs ?? Math.min(500, maxMs)
    const suspendedMaxMs = given.suspendedMaxMs ?? Math.max(60_000, maxMs)
    if (initialMs > maxMs) throw wrong(join(path, 'initialMs'), `must not exceed maxMs (${maxMs}), not ${initialMs}`)
    if (maxMs > suspendedMaxMs) {
      throw wrong(join(path, 'suspendedMaxMs'), `must not be below maxMs (${maxMs}), not ${suspendedMaxMs}`)
    }
    return { initialMs, maxMs, suspendedMaxMs, healthyMs: given.healthyMs }
  }
}

function logger(value, path) {
  if (value === undefined) return undefined
  if (typeof value !== 'object' && typeof value !== 'function') {
    throw wrong(path, `must be an object with debug, info, warn and error, not ${kind(value)}`)
  }
  if (value === null) throw wrong(path, 'must be an object with debug, info, warn and error, not null')
  for (const level of ['debug', 'info', 'warn', 'error']) {
    if (typeof value[level] !== 'function')
      throw wrong(join(path, level), `must be a function, not ${kind(value[level])}`)
  }
  return value
}

module.exports = { readOptions }
