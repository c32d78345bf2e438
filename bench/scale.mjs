// What a channel costs that carries 1,000 topics and no events: memory, processor time, requests. Each figure is of a fresh
// process in front of a fresh simulator; `ws` beside it has the same sockets and nothing around them.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import https from 'node:https'
import http from 'node:http'
import { json } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'

import { Simulator } from '../simulator.js'
import { brief, medians, table } from './figures.mjs'

const CHANNELS = 20
const TOPICS_PER_CHANNEL = 1_000
const NAMES = ['presence', 'station', 'routingStatus', 'activity']
/** A minute of heartbeats, and of pings where they do not come often enough, in this time. */
const MINUTE_MS = 2_000
const HASTE = 60_000 / MINUTE_MS
const HEARTBEAT = { pingAfterMs: Math.round(20_000 / HASTE), pongTimeoutMs: 600, silenceMs: 60_000 / HASTE }
const DEADLINE_MS = 30_000
const ROUNDS = 3
/** No round begins later than this: one takes about half a minute. */
const LAST_ROUND_MS = 75_000

export async function run({ quick, until, progress }) {
  const most = quick ? 1 : ROUNDS
  const samples = {}
  let rounds = 0
  const last = Math.min(until, Date.now() + LAST_ROUND_MS)
  while (rounds < most && (rounds === 0 || Date.now() < last)) {
    for (const tls of quick ? [false] : [false, true]) {
      for (const who of ['ours', 'ws']) {
        const taken = (samples[`${who}${tls ? ', TLS' : ''}`] ??= [])
        taken.push(await costs({ who, tls, quick }))
      }
    }
    progress(`scale: round ${++rounds} of ${most}`)
  }
  const result = { rounds, channels: CHANNELS, topicsPerChannel: TOPICS_PER_CHANNEL, minuteMs: MINUTE_MS }
  for (const [name, taken] of Object.entries(samples)) result[name] = medians(taken)
  const rows = Object.keys(samples).map((name) => row(name, result[name]))
  const title =
    `scale: 1 and ${CHANNELS} channels of ${TOPICS_PER_CHANNEL.toLocaleString('en')} topics, without events, median of ` +
    `${rounds}; a minute is one of heartbeats (in ${MINUTE_MS / 1_000} s)`
  return { result, text: `${title}\n${table(rows)}` }
}

/** Of one way. */
async function costs({ who, tls, quick }) {
  const one = await measured({ who, tls, channels: 1, perName: 1 })
  const all = await measured({ who, tls, channels: CHANNELS, perName: 1 })
  const figures = {
    baseMegabytes: one.megabytes,
    allMegabytes: all.megabytes,
    channelKilobytes: ((all.megabytes - one.megabytes) * 1_024) / (CHANNELS - 1),
    cpuMsPerChannelMinute: (all.cpuMs - one.cpuMs) / (CHANNELS - 1),
    cpuOfCorePercent: (all.cpuMs / 60_000) * 100,
    connectMs: all.connectMs,
  }
  if (who === 'ws') return figures
  figures.requests = all.requests
  if (quick) return figures
  // The same channels with four times the topics, by combined names.
  const combined = await measured({ who, tls, channels: CHANNELS, perName: NAMES.length })
  figures.topicsKilobytes = ((combined.megabytes - all.megabytes) * 1_024) / (CHANNELS * (NAMES.length - 1))
  return figures
}

/** One process: `{ connectMs, megabytes, cpuMs, requests }`. */
async function measured({ who, tls, channels, perName }) {
  const sim = await Simulator.start({ tls, heartbeatMs: 30_000 / HASTE })
  const child = fork(fileURLToPath(new URL('scale-client.mjs', import.meta.url)), {
    serialization: 'advanced',
    execArgv: ['--expose-gc'],
  })
  try {
    const { urls: region, credentials, certificate } = sim
    const open = who === 'ours' ? { region, credentials, topics: topics(channels, perName) } : { sockets: [] }
    if (who === 'ws') for (let i = 0; i < channels; i++) open.sockets.push(await channel(sim, topics(1, 1)))
    const signal = AbortSignal.timeout(DEADLINE_MS)
    const failed = once(child, 'exit', { signal }).then(([code]) => {
      throw new Error(`scale: the process of ${who} ended with ${code}`)
    })
    const answer = once(child, 'message', { signal })
    child.send({ ...open, certificate, heartbeat: HEARTBEAT, idleMs: MINUTE_MS })
    failed.catch(() => {})
    const [figures] = await Promise.race([answer, failed])
    return { ...figures, requests: sim.counts().requests }
  } finally {
    child.kill()
    await sim.stop()
  }
}

function topics(channels, perName) {
  const ids = Array.from({ length: channels * TOPICS_PER_CHANNEL }, (_, i) => String(i).padStart(12, '0'))
  const names = NAMES.slice(0, perName)
  return ids.flatMap((id) => names.map((name) => `v2.users.00000000-0000-4000-8000-${id}.${name}`))
}

/** A channel with these topics, made by hand; its connectUri. */
async function channel({ urls, credentials, certificate }, topics) {
  const { clientId, clientSecret } = credentials
  const call = async (url, method, headers, body) => {
    const { request } = url.startsWith('https:') ? https : http
    const sent = request(url, { method, headers, ca: certificate })
    sent.end(body)
    const [answer] = await once(sent, 'response')
    return json(answer)
  }
  const form = { 'content-type': 'application/x-www-form-urlencoded' }
  const { access_token: token } = await call(
    `${urls.login}/oauth/token`,
    'POST',
    { ...form, authorization: `Basic ${Buffer.from(`${clientId}:${clientSecret}`).toString('base64')}` },
    'grant_type=client_credentials',
  )
  const bearer = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
  const channels = `${urls.api}/api/v2/notifications/channels`
  const { id, connectUri } = await call(channels, 'POST', bearer)
  const list = JSON.stringify(topics.map((topic) => ({ id: topic })))
  await call(`${channels}/${id}/subscriptions`, 'PUT', bearer, list)
  return connectUri
}

function row(variant, figures) {
  return {
    variant,
    'one channel MB': brief(figures.baseMegabytes),
    [`${CHANNELS} channels MB`]: brief(figures.allMegabytes),
    'kB per channel more': brief(figures.channelKilobytes),
    'kB per 1,000 topics': brief(figures.topicsKilobytes),
    'CPU ms per channel and minute': brief(figures.cpuMsPerChannelMinute),
    'all idle, % of a core': brief(figures.cpuOfCorePercent),
    'all live after ms': brief(figures.connectMs),
    requests: figures.requests ?? '–',
  }
}
