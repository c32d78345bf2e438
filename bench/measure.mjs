// One measurement: a source, a consumer, and what they say of it.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

import { quantile } from './figures.mjs'

/** Longer than any measurement takes; then it has failed. */
const DEADLINE_MS = 120_000
/** Presence bodies of the simulator make frames of about this size. */
export const TOPIC = 'v2.users.00000000-0000-4000-8000-000000000001.presence'

export async function measure({ traffic, journal }) {
  const signal = AbortSignal.timeout(DEADLINE_MS)
  const source = start('source.mjs')
  let consumer
  try {
    const { region, credentials } = await ask(source, { topic: TOPIC }, signal)
    consumer = start('consumer.mjs')
    await ask(consumer, { region, credentials, topic: TOPIC, journal, count: traffic.count }, signal)
    source.send({ traffic: { ...traffic, topics: [TOPIC] } })
    const [heard] = await once(consumer, 'message', { signal })
    if (heard.lost > 0) throw new Error(`${heard.lost} events did not arrive: this measures nothing`)
    const { published } = await ask(source, { report: true }, signal)
    const latencies = heard.at.map((at, i) => Math.max(0, at - published[i]))
    return {
      eventsPerSecond: heard.at.length / (heard.elapsedMs / 1_000),
      cpuMicrosPerEvent: heard.cpuMicros / heard.at.length,
      peakMegabytes: heard.peakBytes / 1_048_576,
      bytesPerEvent: heard.bytes / heard.at.length,
      p50Ms: quantile(latencies, 0.5),
      p99Ms: quantile(latencies, 0.99),
      maxMs: quantile(latencies, 1),
    }
  } finally {
    consumer?.kill()
    source.kill()
  }
}

function start(file) {
  return fork(fileURLToPath(new URL(file, import.meta.url)), { serialization: 'advanced' })
}

async function ask(child, question, signal) {
  const answer = once(child, 'message', { signal })
  child.send(question)
  return (await answer)[0]
}
