'use strict'

const http = require('node:http')

const { group, number, wrong } = require('./check')

const STATUS = {
  idle: 'down',
  connecting: 'degraded',
  connected: 'ok',
  reconnecting: 'degraded',
  suspended: 'down',
  closing: 'down',
  closed: 'down',
  failed: 'down',
}

/** `ok`: all is live. `degraded`: some topics are not. `down`: none is, and has not been for a while. */
function health(client) {
  const { state, topics, gaps, queue, lastFrameAgeMs, attempt } = client.stats()
  const reasons = []
  if (state !== 'connected') reasons.push(`state is ${state}`)
  if (topics.rejected > 0) reasons.push(`${topics.rejected} of ${topics.wanted} topics rejected`)
  if (topics.pending > 0 && state === 'connected') reasons.push(`${topics.pending} topics pending`)
  if (queue.paused) reasons.push('the queue is full: consumers are too slow')
  const status = STATUS[state] === 'ok' && reasons.length > 0 ? 'degraded' : STATUS[state]
  return { status, state, ready: state === 'connected', reasons, attempt, lastFrameAgeMs, topics, gaps }
}

const STATES = Object.keys(STATUS)

/** name, type, help, and how to read it from `stats()`; null is left out. */
const METRICS = [
  ['events_delivered_total', 'counter', 'Events handed to listeners and iterators.', (s) => s.delivered],
  ['events_received_total', 'counter', 'Events taken from the service, copies left out.', (s) => s.received],
  ['events_duplicate_total', 'counter', 'Copies recognised and not delivered.', (s) => s.duplicates],
  ['events_dropped_total', 'counter', 'Events dropped because the queue was full.', (s) => s.dropped],
  ['gaps_total', 'counter', 'Gaps recorded, open ones included.', (s) => s.gaps.total],
  ['gaps_open', 'gauge', 'Gaps that are open now.', (s) => s.gaps.open],
  ['gaps_closed_seconds_total', 'counter', 'Length of all closed gaps.', (s) => s.gaps.closedMs / 1000],
  ['connection_drops_total', 'counter', 'Live sockets that were lost.', (s) => s.drops],
  ['rotations_total', 'counter', 'Channels replaced by overlap.', (s) => s.rotations],
  ['token_requests_total', 'counter', 'Token requests started.', (s) => s.tokenRequests],
  ['channel_creations_total', 'counter', 'Channel creations started.', (s) => s.channelCreations],
  ['subscription_requests_total', 'counter', 'Subscription requests started.', (s) => s.subscriptionRequests],
  ['unreadable_frames_total', 'counter', 'Frames that could not be read.', (s) => s.unreadable],
  ['attempt', 'gauge', 'Attempts since the last healthy period; 0 when connected.', (s) => s.attempt],
  [
    'last_frame_age_seconds',
    'gauge',
    'Age of the youngest frame of the most silent socket.',
    (s) => seconds(s.lastFrameAgeMs),
  ],
  ['token_expires_seconds', 'gauge', 'Time until the token in use ends.', (s) => seconds(s.tokenExpiresInMs)],
  ['queue_events', 'gauge', 'Events waiting for consumers.', (s) => s.queue.events],
  ['queue_bytes', 'gauge', 'Their bytes.', (s) => s.queue.bytes],
  ['queue_paused', 'gauge', '1 while sockets are not read because the queue is full.', (s) => Number(s.queue.paused)],
  ['channels', 'gauge', 'Channels in use.', (s) => s.channels.length],
  ['topics_wanted', 'gauge', 'Topics asked for.', (s) => s.topics.wanted],
  ['topics_subscribed', 'gauge', 'Topics confirmed.', (s) => s.topics.subscribed],
  ['topics_rejected', 'gauge', 'Topics refused.', (s) => s.topics.rejected],
]

function seconds(ms) {
  return ms === null ? null : ms / 1000
}

/** Prometheus text exposition format 0.0.4. */
function metrics(client) {
  const stats = client.stats()
  const lines = []
  const add = (name, type, help, samples) => {
    lines.push(`# HELP genesys_notifications_${name} ${help}`, `# TYPE genesys_notifications_${name} ${type}`)
    for (const [labels, value] of samples) lines.push(`genesys_notifications_${name}${labels} ${value}`)
  }
  const ofState = STATES.map((state) => [`{state="${state}"}`, Number(state === stats.state)])
  add('state', 'gauge', '1 for the state the client is in.', ofState)
  for (const [name, type, help, read] of METRICS) {
    const value = read(stats)
    if (value !== null && value !== undefined) add(name, type, help, [['', value]])
  }
  const { p50, p99 } = stats.latency
  if (p50 !== null) {
    const samples = [
      ['{quantile="0.5"}', p50 / 1000],
      ['{quantile="0.99"}', p99 / 1000],
    ]
    add('delivery_latency_seconds', 'gauge', 'From the socket to the consumer, last one to two minutes.', samples)
  }
  return `${lines.join('\n')}\n`
}

const readOptions = group({
  port: number({ min: 0, max: 65_535, fallback: 0 }),
  host: (value, path) => {
    if (value === undefined) return '127.0.0.1'
    if (typeof value !== 'string' || value === '') throw wrong(path, 'must be a host name or an address')
    return value
  },
})

/** Serves /health, /live, /ready and /metrics. The server keeps no process alive. */
function serveHealth(client, options) {
  const { port, host } = readOptions(options, '')
  const server = http.createServer((request, response) => answer(client, request, response))
  server.unref()
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, () => {
      server.removeListener('error', reject)
      resolve(server)
    })
  })
}

const PATHS = {
  '/health': (client) => json(client.health(), ({ status }) => status !== 'down'),
  // Restarting a process mends only what is terminal: while it retries, a new one could do no better.
  '/live': (client) => json(client.health(), ({ state }) => state !== 'failed' && state !== 'closed'),
  '/ready': (client) => json(client.health(), ({ ready }) => ready),
  '/metrics': (client) => ({ status: 200, type: 'text/plain; version=0.0.4; charset=utf-8', body: client.metrics() }),
}

function json(body, isGood) {
  return { status: isGood(body) ? 200 : 503, type: 'application/json', body: `${JSON.stringify(body)}\n` }
}

function answer(client, request, response) {
  const page = PATHS[request.url.split('?')[0]]
  const isRead = request.method === 'GET' || request.method === 'HEAD'
  const { status, type, body } =
    page && isRead
      ? page(client)
      : { status: page ? 405 : 404, type: 'text/plain', body: `${Object.keys(PATHS).join(' ')}\n` }
  response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' })
  response.end(request.method === 'HEAD' ? undefined : body)
}

module.exports = { health, metrics, serveHealth }
