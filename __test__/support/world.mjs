import { NotificationClient } from '../../index.js'
import { Simulator } from '../../simulator.js'

/** Times small enough for a test, in the proportions of the real ones. */
export const QUICK = {
  heartbeat: { pingAfterMs: 400, pongTimeoutMs: 200, silenceMs: 1_000 },
  backoff: { initialMs: 20, maxMs: 200, healthyMs: 200 },
  rotation: { overlapMs: 100 },
}
export const TOPIC = 'v2.users.u.presence'

/** A simulator and a client of it, both gone when the test is over. */
export async function world(t, { sim: simOptions, ...clientOptions } = {}) {
  const sim = await simulator(t, simOptions)
  return { sim, client: clientOf(t, sim, clientOptions) }
}

export async function simulator(t, options) {
  const sim = await Simulator.start({ heartbeatMs: 200, rateLimit: 100_000, ...options })
  t.after(() => sim.stop())
  return sim
}

export function clientOf(t, sim, options) {
  const client = new NotificationClient({
    region: sim.urls,
    credentials: sim.credentials,
    topics: [TOPIC],
    ...QUICK,
    ...options,
  })
  t.after(() => client.close())
  return client
}

/** What commands and examples read to find a simulator. */
export const environment = ({ urls, credentials }) => ({
  GENESYS_LOGIN_URL: urls.login,
  GENESYS_API_URL: urls.api,
  GENESYS_STREAMING_URL: urls.streaming,
  GENESYS_GATEWAY_URL: urls.gateway,
  GENESYS_CLIENT_ID: credentials.clientId,
  GENESYS_CLIENT_SECRET: credentials.clientSecret,
})

/** Waits until the condition gives something, and returns it; `what` is words, or a function that finds them in the end. */
export async function until(condition, what = condition.toString(), withinMs = 10_000) {
  const deadline = Date.now() + withinMs
  for (;;) {
    const value = await condition()
    if (value) return value
    if (Date.now() > deadline)
      throw new Error(`not within ${withinMs} ms: ${typeof what === 'function' ? what() : what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

/** Counts each correlation id that a client delivers. */
export function collect(client) {
  const seen = new Map()
  client.on('event', ({ metadata }) => seen.set(metadata.CorrelationId, (seen.get(metadata.CorrelationId) ?? 0) + 1))
  return seen
}

/** Gaps are exact by the clock of the socket: when the frame was written, if it was, and not when it was published. */
export const sentAt = ({ at, deliveries }) => Math.max(at, ...deliveries.map((delivery) => delivery.at ?? at))

/** Compares the simulator's log with what was delivered: lost outside of every gap, lost inside, delivered twice. */
export function account(sim, client, seen) {
  const gaps = client.gaps()
  const covers = (gap, event) =>
    gap.from <= sentAt(event) && sentAt(event) <= (gap.to ?? Infinity) && gap.topics.includes(event.topic)
  const { events } = sim.log()
  const lost = events.filter(({ correlationId }) => !seen.has(correlationId))
  const reported = lost.filter((event) => gaps.some((gap) => covers(gap, event)))
  return {
    published: events.length,
    delivered: seen.size,
    reported: reported.length,
    unreported: lost.filter((event) => !reported.includes(event)),
    duplicates: [...seen.values()].filter((times) => times > 1).length,
  }
}
