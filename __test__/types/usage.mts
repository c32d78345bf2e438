// What must compile, and what must not.
import {
  ClosedError,
  CursorError,
  NotificationClient,
  NotificationError,
  JournalError,
  topic,
  type BackfillFunction,
  type ClientStats,
  type CursorStore,
  type DirectClientOptions,
  type DirectEndpoint,
  type Gap,
  type NotificationEvent,
  type StateChange,
  type TopicStatus,
} from 'genesys-cloud-notifications'
import { Simulator, type FaultRule } from 'genesys-cloud-notifications/simulator'

const region = { login: 'https://login.example.com', api: 'https://api.example.com' }
const credentials = { clientId: 'id', clientSecret: 'secret' }

const client = new NotificationClient({
  region,
  credentials,
  topics: new Set(['v2.users.u.presence']),
  continuity: 'overlap',
  queue: { maxEvents: 10, maxBytes: 2048, onFull: 'dropOldest' },
  network: { connectTimeoutMs: 1, requestTimeoutMs: 1 },
  heartbeat: { pingAfterMs: 1, pongTimeoutMs: 1, silenceMs: 2 },
  backoff: { initialMs: 1, maxMs: 1, suspendedMaxMs: 1, healthyMs: 0 },
  rotation: { beforeExpiryMs: 0, overlapMs: 0, tokenRenewalFraction: 0.5 },
  delivery: { maxWaitMs: 0, maxTurnMs: 1, maxDepth: 128, topics: ['v2.users.*.**'] },
  logger: console,
  signal: AbortSignal.timeout(1000),
})

new NotificationClient({
  region: 'us-east-1',
  credentials: { ...credentials, refreshToken: 'r', onRefreshToken: async () => {} },
})
new NotificationClient({
  region: 'us-east-1',
  credentials: { accessToken: async (why) => ({ accessToken: why === 'initial' ? 'a' : 'b', expiresInMs: 1 }) },
})

// @ts-expect-error region is required
new NotificationClient({ credentials })
// @ts-expect-error credentials are required
new NotificationClient({ region })
// @ts-expect-error unknown names are refused
new NotificationClient({ region, credentials, heartbeat: { silenceMS: 1 } })
new NotificationClient({
  region,
  credentials,
  continuity: 'standby',
  journal: { path: 'x', maxBytes: 1_048_576, maxAgeMs: 0, onFull: 'evictOldest', sync: 'interval', syncIntervalMs: 5 },
  manualAck: true,
  rotation: { auditMs: 0 },
  backfill: true,
})
new NotificationClient({
  region,
  credentials,
  backfill: async function* (gap, api) {
    const { total } = await api.get('/api/v2/conversations', { id: ['a', 'b'], pageSize: 5 })
    await api.post('/api/v2/analytics/x/query', { interval: `${gap.from}/${gap.to}` })
    for (const topicName of gap.topics) yield { topicName, eventBody: { total } }
  },
})
const custom: BackfillFunction = function* () {}
new NotificationClient({ region, credentials, backfill: { recipes: ['presence'], custom, marginMs: 0, latencyMs: 0 } })
new NotificationClient({ region, credentials, backfill: { recipes: 'all' } })

new NotificationClient({ region, credentials, network: { ca: ['pem', Buffer.from('pem')] } })
// @ts-expect-error no path of a URL either
new NotificationClient({ region, credentials, network: { ca: new URL('file:///ca.pem') } })
// @ts-expect-error no such recipe
new NotificationClient({ region, credentials, backfill: { recipes: ['station'] } })
// @ts-expect-error an item has a body
new NotificationClient({ region, credentials, backfill: () => [{ topicName: 'v2.users.u.presence' }] })
// @ts-expect-error a journal has a path
new NotificationClient({ region, credentials, journal: {} })
// @ts-expect-error the queue drops, a journal evicts
new NotificationClient({ region, credentials, journal: { path: 'x', onFull: 'dropOldest' } })
// @ts-expect-error a cursor is nothing without an endpoint
new NotificationClient({ region, credentials, cursor: { path: 'x' } })
const url = 'wss://gateway.example.com/events'
new NotificationClient({ endpoint: { url, auth: 'none' }, topics: 'any text' })
new NotificationClient({
  endpoint: {
    url,
    auth: 'firstMessage',
    firstMessage: '{"access_token":"{token}"}',
    ready: { pointer: '/event', equals: { connected: true }, timeoutMs: 10 },
    subscribe: { message: '{"topic":"{topic}"}' },
    event: { topic: '/t', body: '/b', id: '/id', batch: true },
    resume: { parameter: 'since', pointer: '/timestamp', initial: 'now', inclusive: true },
    renewal: 'message',
  },
  credentials,
  region: { login: 'https://login.example.com' },
  cursor: { path: 'x' },
  continuity: 'standby',
  rotation: { overlapMs: 0, tokenRenewalFraction: 0.5 },
  manualAck: true,
})
const endpoint: DirectEndpoint = { url, event: { batch: '/events' }, resume: { pointer: '/id', initial: '0' } }
const store: CursorStore = { load: async () => null, save: async (cursor: string) => void cursor }
const direct: DirectClientOptions = { endpoint, credentials, region: 'us-east-1', cursor: store }
new NotificationClient(direct)
new NotificationClient({ ...direct, cursor: { load: () => 'position', save() {} } })
new NotificationClient({ ...direct, cursor: { load: async () => null, save: async () => 'OK' } })
// @ts-expect-error no such way to authenticate
new NotificationClient({ endpoint: { url, auth: 'basic' }, credentials })
// @ts-expect-error an endpoint has a url
new NotificationClient({ endpoint: {}, credentials })
// @ts-expect-error resuming takes a pointer
new NotificationClient({ endpoint: { url, resume: { parameter: 'since' } } })
new NotificationClient({
  endpoint: { ...endpoint, lifetimeMs: 60_000 },
  credentials,
  rotation: { beforeExpiryMs: 5_000 },
})
// @ts-expect-error an endpoint has no list of subscriptions
new NotificationClient({ endpoint, credentials, rotation: { auditMs: 1 } })
// @ts-expect-error both functions
new NotificationClient({ endpoint, cursor: { load: async () => null } })
// @ts-expect-error a cursor is a text
new NotificationClient({ endpoint, cursor: { load: async () => 5, save: async () => {} } })
// @ts-expect-error a secret is a string
new NotificationClient({ region, credentials: { clientId: 'id', clientSecret: 5 } })
// @ts-expect-error a provider gives an object
new NotificationClient({ region, credentials: { accessToken: async () => 'token' } })

client.on('event', (event) => {
  const name: string = event.topicName
  const at: number = event.receivedAt
  const version: string | undefined = event.version
  const correlation: string | undefined = event.metadata?.CorrelationId
  void [name, at, version, correlation, event.eventBody.anything, event.raw, event.sequence]
  // @ts-expect-error events are read only
  event.topicName = 'x'
})
client.on('state', (change: StateChange) => void [change.reason === 'silence', change.error?.code])
client.once('gap', (gap: Gap) => void (gap.to === null || gap.to - gap.from))
client.off('topic', (status: TopicStatus) => void status.missingPermissions?.join())
client.addListener('error', (error: NotificationError) => void [error.code === 'INVALID_CREDENTIALS', error.hint])
client.on('event', async (event) => void event)
// @ts-expect-error no such event
client.on('message', () => {})
// @ts-expect-error the listener of 'gap' gets a gap
client.on('gap', (gap: StateChange) => void gap)

await client.connect({ signal: new AbortController().signal })
const statuses: TopicStatus[] = await client.subscribe('v2.users.u.presence')
await client.subscribe([topic('v2.users.{id}.presence', 'u'), { topic: 'v2.users.u.station' }])
await client.subscribe(statuses)
await client.subscribe(statuses, { select: ['id', 'participants.purpose'], conflate: { maxPerSecond: 0.5 } })
const paths: string[] | undefined = client.topics()[0]?.select
await client.unsubscribe(statuses)
await client.setTopics(new Set(['v2.users.u.presence']))
// @ts-expect-error a topic is no number
await client.subscribe(5)
// @ts-expect-error a rate is no text
await client.subscribe(statuses, { conflate: { maxPerSecond: '1' } })

for await (const event of client.events({ signal: AbortSignal.timeout(1) })) void (event satisfies NotificationEvent)
for await (const batch of client.batches({ maxEvents: 10, maxWaitMs: 5 })) void (batch satisfies NotificationEvent[])

for await (const event of client.replay({ from: new Date(), to: 5 })) {
  const again: true | undefined = event.redelivered
  const origin: 'live' | 'backfill' | 'replay' = event.origin
  client.ack(event)
  client.ack(event.sequence)
  void [again, origin]
}
// @ts-expect-error a range begins somewhere
client.replay({ to: 5 })
// @ts-expect-error a time is a Date
client.replay({ from: '2026-01-01' })
// @ts-expect-error not an event
client.ack('5')

const stats: ClientStats = client.stats()
void [stats.journal?.unacknowledged, stats.skew?.p999Ms, stats.channelsInUse, stats.singleSided, stats.auditMismatches]
void [stats.direct?.life === 'live', stats.direct?.repositions, stats.cursor?.position, stats.cursor?.failures]
void [stats.latency.p99, stats.topics.rejected, client.health().status === 'ok', client.metrics().length]
const server = await client.serveHealth({ port: 0, host: '127.0.0.1' })
server.address()
client.ref().unref()
await client.close({ drainMs: 10 })
const disposable: AsyncDisposable = client
void [
  disposable,
  new ClosedError('x') instanceof NotificationError,
  new JournalError('x').code,
  new CursorError('x').code,
]
// @ts-expect-error the state is read only
client.state = 'closed'

topic('v2.users.{id}.conversations.{id}.recordings.{id}', 'a', 'b', 'c')
topic('v2.outbound.settings')
topic(String('v2.users.{id}.presence'), 'a')
// @ts-expect-error one id is missing
topic('v2.users.{id}.conversations.{id}', 'a')
// @ts-expect-error one id too many
topic('v2.outbound.settings', 'a')

const sim = await Simulator.start({ tokenLifeMs: 1500, forbidden: [{ topic: 'v2.users.{id}.station' }] })
new NotificationClient({ region: sim.urls, credentials: sim.credentials })
const rule: FaultRule = { match: { operation: 'socket' }, action: { kind: 'stall', ms: 5 }, times: 2 }
sim.fault(rule).clear()
// @ts-expect-error no such fault
sim.fault({ match: { operation: 'socket' }, action: { kind: 'explode' } })
sim.traffic({ ratePerSecond: 5 }).stop()
const lost = sim.log().events.filter((event) => event.reason !== null)
void [lost.length, sim.publish('v2.users.u.presence', { id: 'u' })]
await sim.stop()

const strict = await Simulator.start({
  gateway: { readyDelayMs: 50, early: 'close', tokenEnd: 'frame', connectLimit: null },
})
const place: string = `${strict.urls.gateway}/first-message`
const early = strict.log().gateway.filter(({ earlyFrames, token }) => earlyFrames > 0 || token === 'expired')
void [place, early[0]?.asked[0]?.topic, strict.counts().gateway]
// @ts-expect-error no such strictness
await Simulator.start({ gateway: { early: 'sometimes' } })
