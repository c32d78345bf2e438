'use strict'

const { choice, group, join, kind, number, requireObject, show, wrong } = require('./check')

const AUTH = ['query', 'header', 'firstMessage', 'none']
const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/

const readMembers = group({
  url,
  auth: choice({ of: AUTH }),
  tokenParameter: text({ isSecret: false }),
  firstMessage: text({ isSecret: true }),
  ready: section(group({ pointer, equals, timeoutMs: number({ min: 10, max: 3_600_000, fallback: 10_000 }) }), ready),
  subscribe: section(group({ message: text({ isSecret: true }) }), subscribe),
  event: section(group({ topic: pointer, body: pointer, id: pointer, batch })),
  resume: section(
    group({
      parameter: text({ isSecret: false }),
      pointer,
      initial: text({ isSecret: false }),
      inclusive: yesOrNo,
    }),
    resume,
  ),
  renewal: choice({ of: ['reconnect', 'message'], fallback: 'reconnect' }),
  lifetimeMs: number({ min: 100, max: 365 * 24 * 3_600_000 }),
})

/**
 * `endpoint`: null if there is none. Messages never show the url or a template, which may hold secrets.
 */
function endpoint(value, path) {
  if (value === undefined) return null
  const read = readMembers(requireObject(value, path), path)
  const auth = read.auth ?? (read.firstMessage === undefined ? 'query' : 'firstMessage')
  const given = { ...read, auth }
  checkAuth(given, path)
  checkPosition(given, path)
  return given
}

function checkAuth({ url, auth, tokenParameter, firstMessage, subscribe, renewal }, path) {
  const refuse = (name, message) => {
    throw wrong(join(path, name), message)
  }
  if (firstMessage !== undefined && auth !== 'firstMessage') {
    refuse('firstMessage', `is of no use with auth: '${auth}'; it needs auth: 'firstMessage'`)
  }
  if (tokenParameter !== undefined && auth !== 'query') {
    refuse('tokenParameter', `is of no use with auth: '${auth}'; it needs auth: 'query'`)
  }
  if (tokenParameter !== undefined && url.includes('{token}')) {
    refuse('tokenParameter', 'is of no use where url holds {token}: the token has its place')
  }
  if (renewal === 'message' && auth !== 'firstMessage') {
    refuse('renewal', `cannot be 'message' with auth: '${auth}'; it needs auth: 'firstMessage'`)
  }
  if (auth !== 'none') return
  if (url.includes('{token}')) refuse('url', `holds {token}, but with auth: 'none' there is no token`)
  if (subscribe?.message.includes('{token}')) {
    refuse('subscribe.message', `holds {token}, but with auth: 'none' there is no token`)
  }
}

/** The position has one kind of place: a parameter, or templates. */
function checkPosition({ url, firstMessage, subscribe, resume }, path) {
  const templates = { url, firstMessage, 'subscribe.message': subscribe?.message }
  const place = Object.keys(templates).find((name) => templates[name]?.includes('{cursor}'))
  if (resume === undefined) {
    if (place !== undefined) throw wrong(join(path, place), 'holds {cursor}, which needs resume: { pointer }')
  } else if (place === undefined && resume.parameter === undefined) {
    const where = 'the name of a query parameter, unless {cursor} stands in url, firstMessage or subscribe.message'
    throw wrong(join(path, 'resume.parameter'), `is required: ${where}`)
  } else if (place !== undefined && resume.parameter !== undefined) {
    throw wrong(join(path, 'resume.parameter'), `is one place too many for the position: ${place} holds {cursor}`)
  }
}

function url(value, path) {
  if (value === undefined) throw wrong(path, `is required, as in 'wss://gateway.example.com/events'`)
  text({ isSecret: true })(value, path)
  const authority = /^wss?:\/\/[^/?#]*/i.exec(value)?.[0]
  if (authority === undefined) throw wrong(path, 'must begin with wss:// (or ws://, for loopback only)')
  if (/[{}]/.test(authority)) throw wrong(path, 'must not hold a placeholder in the host')
  const parsed = parse(authority)
  if (parsed === undefined) throw wrong(path, 'is not a URL: its host cannot be read')
  if (parsed.username !== '' || parsed.password !== '') {
    throw wrong(path, 'must not hold a user name or password: neither would be sent')
  }
  if (parsed.protocol === 'ws:' && !LOOPBACK.test(parsed.hostname)) {
    throw wrong(
      path,
      `must begin with wss://: ${show(parsed.hostname)} is not loopback, and all would be readable on the way`,
    )
  }
  return value
}

/** What `new URL` throws shows its input. */
function parse(value) {
  return URL.canParse(value) ? new URL(value) : undefined
}

/** A text that is not empty. A secret is not shown, not even a wrong one. */
function text({ isSecret }) {
  return (value, path) => {
    if (value === undefined) return undefined
    if (typeof value !== 'string') {
      throw wrong(path, `must be a string, not ${isSecret ? kind(value) : show(value)}`)
    }
    if (value === '') throw wrong(path, 'must not be empty')
    return value
  }
}

function pointer(value, path) {
  if (value === undefined) return undefined
  const words = `must be a JSON Pointer (RFC 6901), as in '/metadata/id'`
  if (typeof value !== 'string') throw wrong(path, `${words}, not ${show(value)}`)
  if (value !== '' && !value.startsWith('/')) throw wrong(path, `${words}: ${show(value)} does not begin with /`)
  if (/~(?![01])/.test(value)) throw wrong(path, `${words}: in ${show(value)} a ~ is followed by neither 0 nor 1`)
  return value
}

function batch(value, path) {
  if (value === undefined || typeof value === 'boolean') return value
  if (typeof value === 'string') return pointer(value, path)
  throw wrong(path, `must be true, false, or a JSON Pointer to the array in a frame, not ${show(value)}`)
}

/** Any JSON value, null included. It may be a secret. */
function equals(value, path) {
  if (value === undefined) throw wrong(path, 'is required: the JSON value to be found at pointer')
  let json
  try {
    json = JSON.stringify(value)
  } catch {
    throw wrong(path, 'cannot be written as JSON')
  }
  if (json === undefined) throw wrong(path, `must be a JSON value, not ${kind(value)}`)
  return value
}

function yesOrNo(value, path) {
  if (value !== undefined && typeof value !== 'boolean') throw wrong(path, `must be true or false, not ${show(value)}`)
  return value
}

/** A member that is an object and may be absent; `check` sees what it holds. */
function section(read, check) {
  return (value, path) => {
    if (value === undefined) return undefined
    const given = read(value, path)
    check?.(given, path)
    return given
  }
}

function ready({ pointer }, path) {
  if (pointer === undefined) throw wrong(join(path, 'pointer'), `is required, as in '/event'`)
}

function subscribe({ message }, path) {
  const at = join(path, 'message')
  if (message === undefined) throw wrong(at, `is required, as in '{"message":"subscribe","topic":"{topic}"}'`)
  if (!message.includes('{topic}')) throw wrong(at, 'must hold {topic}: it is sent once for each of them')
}

function resume({ pointer }, path) {
  if (pointer === undefined) throw wrong(join(path, 'pointer'), `is required, as in '/timestamp'`)
}

/** Refuses what goes against an endpoint, or is nothing without one. */
function checkWithEndpoint({ endpoint, cursor, backfill }, given) {
  const { rotation } = given
  if (cursor.core !== null && endpoint?.resume === undefined) {
    throw wrong('cursor', 'needs endpoint.resume: only a stream that the server can resume has a position to keep')
  }
  if (endpoint === null) return
  if (endpoint.auth === 'none' && backfill.core !== null) {
    throw wrong('backfill', `needs a token for the REST API, and endpoint.auth: 'none' asks for none`)
  }
  if (rotation?.beforeExpiryMs !== undefined && endpoint.lifetimeMs === undefined) {
    throw wrong('rotation.beforeExpiryMs', 'is of no use without endpoint.lifetimeMs: no end of a connection is known')
  }
  if (rotation?.auditMs) {
    throw wrong('rotation.auditMs', 'is of no use with an endpoint, which has no list of subscriptions to read back')
  }
}

module.exports = { checkWithEndpoint, endpoint }
