// A process whose listener takes one event while ten or more arrive. It tells the parent when it is connected, and in the
// end what it heard, what its client says of the rest, and how much memory it took.
import { NotificationClient } from '../../index.js'
import { until } from './world.mjs'

const { options, total } = JSON.parse(process.argv[2])
const TIMES_TOO_SLOW = 10
/** Longest time without an arrival while the queue is not full. */
const STALLED_MS = 20_000
/** Until so much of the whole has arrived, memory may grow: code, tables, a queue that fills. */
const WARM_UP = 0.25

const client = new NotificationClient(options)
/** As numbers in memory that is there from the start, so that it does not grow with them. */
const COLUMNS = ['n', 'sequence', 'receivedAt']
const columns = COLUMNS.map(() => new Float64Array(total).fill(-1))
let count = 0
const unbalanced = []
/** Of memory outside of JavaScript's heap; that comes and goes as the collector likes, below a bound the parent sets. */
const peak = { warmUp: 0, after: 0 }
let arrived = 0
let wasPaused = false

client.on('event', ({ eventBody, sequence, receivedAt }) => {
  for (const [i, value] of [eventBody.n, sequence, receivedAt].entries()) columns[i][count] = value
  count++
  const goal = arrived + TIMES_TOO_SLOW
  const deadline = Date.now() + STALLED_MS
  do look(deadline)
  while (arrived < goal && arrived < total && !wasPaused)
  if (count % 16 !== 0) return
  const phase = arrived < total * WARM_UP ? 'warmUp' : 'after'
  const { rss, heapTotal } = process.memoryUsage()
  peak[phase] = Math.max(peak[phase], rss - heapTotal)
})

function look(deadline) {
  const stats = client.stats()
  arrived = stats.received
  wasPaused = stats.queue.paused
  if (Date.now() < deadline) return
  console.error(`nothing arrives: ${JSON.stringify({ ...stats, gaps: client.gaps() })}`)
  process.exit(1)
}

/** Between two turns every event that was received is somewhere. */
function audit() {
  const { received, delivered, dropped, queue } = client.stats()
  if (received !== delivered + dropped + queue.events) unbalanced.push({ received, delivered, dropped, queue })
  return received === total && queue.events === 0
}

const heard = () =>
  Array.from({ length: count }, (_, i) => Object.fromEntries(COLUMNS.map((name, c) => [name, columns[c][i]])))

const isCovered = ({ after, before }) =>
  client.gaps().some(({ from, to, reason, topics }) => {
    const isOfTopic = reason === 'queue_full' && topics.includes(options.topics[0])
    return isOfTopic && from <= before && after <= (to ?? Infinity)
  })

/** Between which events, in times of receipt, others are missing that no gap tells of. */
function untold() {
  const edges = [{ n: -1, receivedAt: 0 }, ...heard(), { n: total, receivedAt: Date.now() }]
  const runs = edges.slice(1).map((next, i) => ({ from: edges[i], to: next }))
  const missing = runs.filter(({ from, to }) => to.n !== from.n + 1)
  return missing
    .map(({ from, to }) => ({ after: from.receivedAt, before: to.receivedAt }))
    .filter((run) => !isCovered(run))
}

await client.connect()
process.send({ connected: true })
await until(audit, () => `all taken: ${JSON.stringify(client.stats())}`, 60_000)
await until(() => untold().length === 0, 'every missing event is within a gap')
const { stats, gaps } = { stats: client.stats(), gaps: client.gaps() }
await client.close()
await new Promise((resolve) => process.send({ heard: heard(), unbalanced, peak, stats, gaps }, resolve))
process.disconnect()
