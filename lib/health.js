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

/**
 * `ok`: all is live. `degraded`: some topics are not, or what should protect them is missing. `down`: none is live, and
 * has not been for a while.
 */
function health(client, { wantsStandby = false } = {}) {
  const { state, topics, gaps, queue, channels, standbyLive, journal, cursor, lastFrameAgeMs, attempt } = client.stats()
  const reasons = []
  if (state !== 'connected') reasons.push(`state is ${state}`)
  if (topics.rejected > 0) reasons.push(`${topics.rejected} of ${topics.wanted} topics rejected`)
  if (topics.pending > 0 && state === 'connected') reasons.push(`${topics.pending} topics pending`)
  if (queue.paused) reasons.push(journal === null ? 'the queue is full: consumers are too slow' : JOURNAL_STOPPED)
  if (cursor?.failing) reasons.push('the cursor cannot be saved')
  const missing = wantsStandby ? new Set(channels.map(({ shard }) => shard)).size - standbyLive : 0
  if (missing > 0 && state === 'connected') reasons.push(`${missing} of ${standbyLive + missing} standbys missing`)
  const status = STATUS[state] === 'ok' && reasons.length > 0 ? 'degraded' : STATUS[state]
  return { status, state, ready: state === 'connected', reasons, attempt, lastFrameAgeMs, topics, gaps }
}

const JOURNAL_STOPPED = 'the journal takes no more: it is full of events that were not acknowledged, or the disk fails'

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

module.exports = { STATES: Object.keys(STATUS), health, serveHealth }
