// One measurement: a fresh consumer, and what it and the source say of each step.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

import { quantile } from './figures.mjs'

/** Longer than any measurement takes; then events were lost, or the consumer hangs. */
const DEADLINE_MS = 60_000

/**
 * `variant` is one of variants.mjs; steps are orders for the source, with `otherWork` if the consumer's thread shall have
 * some; nothing is said of a step that `isWarmUp`.
 */
export async function measure({ source, variant, options, steps }) {
  const { region, credentials, plain, secure, certificate, topics, payloads } = source.about
  const signal = AbortSignal.timeout(DEADLINE_MS)
  const consumer = fork(fileURLToPath(new URL('consumer.mjs', import.meta.url)), {
    serialization: 'advanced',
    execArgv: variant.execArgv ?? [],
    env: { ...process.env, WS_NO_BUFFER_UTIL: '1', ...variant.env },
  })
  const ended = once(consumer, 'exit').then(([code]) => {
    throw new Error(`${variant.file} ended with ${code}`)
  })
  ended.catch(() => {})
  const ask = async (question) => {
    const answer = once(consumer, 'message', { signal })
    consumer.send(question)
    return (await Promise.race([answer, ended]))[0]
  }
  try {
    const url = variant.isSecure ? secure : plain
    await ask({ open: { file: variant.file, source: { url, certificate, region, credentials, topics }, options } })
    const figures = []
    for (const { otherWork, isWarmUp, ...order } of steps) {
      const { events, bytes } = payloads[order.payload]
      const count = variant.countsBytes ? (order.events / events) * bytes : order.events
      await ask({ measure: { count, isPaced: order.perSecond !== undefined, otherWork } })
      const heard = once(consumer, 'message', { signal })
      const [sent, [told]] = await Promise.all([source.send(order), Promise.race([heard, ended])])
      if (!isWarmUp) figures.push(evaluate(order, sent, told))
    }
    return figures
  } finally {
    consumer.kill()
  }
}

function evaluate({ events, perSecond }, sent, told) {
  const figures = {
    mainMicros: told.mainMicros / events,
    processMicros: told.processMicros / events,
    peakMegabytes: told.peakBytes / 1_048_576,
  }
  if (perSecond === undefined) return { ...figures, eventsPerSecond: events / (told.elapsedMs / 1_000) }
  const latencies = told.at.map((at, i) => at - sent.sentAt[i] / 1_000)
  for (const [name, part] of Object.entries({ p50Ms: 0.5, p99Ms: 0.99, maxMs: 1 })) {
    figures[`latency_${name}`] = quantile(latencies, part)
  }
  figures.sentPerSecond = (events - 1) / ((sent.sentAt.at(-1) - sent.sentAt[0]) / 1_000_000)
  for (const [name, value] of Object.entries(told.delay ?? {})) figures[`delay_${name}`] = value
  return figures
}
