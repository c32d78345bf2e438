import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

import { QUICK, TOPIC, simulator } from './support/world.mjs'

const CHILD = fileURLToPath(new URL('./support/slow-child.mjs', import.meta.url))
/** 100 MB through a queue that holds less than 1 MB. */
const TOTAL = 50_000
const PADDING = 'x'.repeat(2_000)
const QUEUE = 300
/** Outside of JavaScript's heap, while 75 MB come. */
const MOST_GROWTH_MB = 5
/** Of JavaScript's heap: much less than comes. Beyond it the process ends. */
const HEAP_MB = 40

/** What a process heard that takes one event while ten or more arrive. */
async function slowly(t, sim, queue) {
  const options = { region: sim.urls, credentials: sim.credentials, topics: [TOPIC], ...QUICK, queue }
  options.heartbeat = { silenceMs: 60_000 }
  const child = fork(CHILD, [JSON.stringify({ options, total: TOTAL })], {
    // One arena: what others keep in stock is not what grows.
    env: { ...process.env, MALLOC_ARENA_MAX: '1' },
    execArgv: [`--max-old-space-size=${HEAP_MB}`],
  })
  t.after(() => child.kill('SIGKILL'))
  const ended = once(child, 'exit').then(([code]) => assert.equal(code, 0, 'the process ended well'))
  await Promise.race([once(child, 'message'), ended])
  const report = once(child, 'message')
  for (let n = 0; n < TOTAL; n++) sim.publish(TOPIC, { n, PADDING })
  const [told] = await Promise.race([report, ended.then(() => report)])
  await ended
  return told
}

for (const onFull of ['pause', 'dropOldest', 'dropNewest']) {
  test(
    `a consumer ten times too slow, ${onFull}: memory is flat, counters are exact`,
    { timeout: 120_000 },
    async (t) => {
      // All that the consumer has not read yet waits there.
      const sim = await simulator(t, { socketBacklogBytes: 2 ** 28 })
      const { heard, unbalanced, peak, stats, gaps } = await slowly(t, sim, { maxEvents: QUEUE, onFull })
      const numbers = heard.map(({ n }) => n)
      const growth = (peak.after - peak.warmUp) / 2 ** 20
      t.diagnostic(`${numbers.length} of ${TOTAL} heard, ${growth.toFixed(1)} MB more after the warm-up`)

      const { published, deliveries, undelivered } = sim.counts()
      assert.deepEqual([published, deliveries, undelivered], [TOTAL, TOTAL, 0], 'the simulator wrote each once')
      assert.deepEqual(unbalanced, [], 'received is delivered and dropped and queued, whenever one looks')
      assert.deepEqual(
        [stats.received, stats.delivered, stats.dropped, stats.queue.events],
        [TOTAL, numbers.length, TOTAL - numbers.length, 0],
      )
      assert.ok(
        heard.every((event, i) => i === 0 || event.sequence > heard[i - 1].sequence),
        'sequences rise',
      )
      assert.ok(
        heard.every((event, i) => i === 0 || event.n > heard[i - 1].n),
        'events come in order',
      )
      assert.ok(peak.warmUp > 0 && growth < MOST_GROWTH_MB, `${growth.toFixed(1)} MB more`)

      const isRun = (list) => list.every((n, i) => n === list[0] + i)
      if (onFull === 'pause') {
        assert.equal(numbers.length, TOTAL, 'nothing is lost')
        assert.deepEqual(gaps, [])
      } else {
        assert.ok(numbers.length < TOTAL / 2, 'the consumer was too slow')
        assert.ok(gaps.every(({ reason }) => reason === 'queue_full'))
      }
      if (onFull === 'dropOldest') {
        const newest = numbers.slice(-QUEUE)
        assert.ok(isRun(newest) && newest.at(-1) === TOTAL - 1, 'the newest are there')
      }
      if (onFull === 'dropNewest') {
        const oldest = numbers.slice(0, QUEUE)
        assert.ok(isRun(oldest) && oldest[0] === 0, 'the oldest are there')
      }
    },
  )
}
