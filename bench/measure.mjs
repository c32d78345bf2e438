// One measurement: a fresh consumer, and what it and the source say of each step.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

import { quantile } from './figures.mjs'

/** Longer than any measurement takes; then events were lost, or the consumer hangs. */
const DEADLINE_MS = 60_000

/**
 * `variant` is one of variants.mjs. Steps are orders for the source: `payload`, `events` and for a pace `perSecond`; with
 * `otherWork` if the consumer's thread shall have some, with `slow` (see slowness.mjs) if its listener shall take its time.
 * Nothing is said of a step that `isWarmUp`.
 */
export async function measure({ source, variant, options, steps }) {
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
  const heard = async () => {
    const answer = once(consumer, 'message', { signal })
    return (await Promise.race([answer, ended]))[0]
  }
  const ask = (question) => {
    const answer = heard()
    consumer.send(question)
    return answer
  }
  const { topics, mark, payloads } = source.about
  try {
    const of = { ...hosts(source.about, variant), topics, mark }
    await ask({ open: { file: variant.file, source: of, options: { ...variant.options?.(of), ...options } } })
    const figures = []
    let total = 0
    for (const step of steps) {
      const { isWarmUp, otherWork, slow, ...order } = step
      const isPaced = order.perSecond !== undefined
      const isLocal = variant.isLocal && !isWarmUp
      const question = { count: counted(variant, order, payloads), isLocal, isPaced, otherWork, slow }
      if (variant.endsWithMark) question.isMarked = order.endsWithMark = true
      if (isLocal) {
        figures.push(evaluate(variant, order, undefined, await ask({ measure: question })))
        continue
      }
      await ask({ measure: question })
      const answer = heard()
      const sent = await Promise.race([source.send(order), ended])
      total += order.events
      if (variant.drops) consumer.send({ drain: total })
      const told = await answer
      if (!isWarmUp) figures.push(evaluate(variant, order, sent, told))
    }
    return figures
  } finally {
    consumer.kill()
  }
}

/** What a consumer counts to; undefined if that is not known. */
function counted({ countsBytes, endsWithMark, drops }, { payload, events }, payloads) {
  if (endsWithMark || drops) return undefined
  return countsBytes ? (events / payloads[payload].events) * payloads[payload].bytes : events
}

let taken = 0

/** Where a variant finds its events, and who it is there: each time somebody else. */
function hosts(about, { isSecure }) {
  const credentials = about.credentials[taken++ % about.credentials.length]
  if (!isSecure) return { url: about.plain, region: about.region, credentials }
  return { url: about.secure, region: about.secureRegion, credentials, certificate: about.certificate }
}

function evaluate({ endsWithMark }, { events, perSecond }, sent, told) {
  const figures = {
    mainMicros: told.mainMicros / events,
    processMicros: told.processMicros / events,
    peakMegabytes: megabytes(told.peakBytes),
  }
  if (told.stats !== undefined) figures.counters = told.stats
  if (told.grownBytes !== undefined) figures.grownMegabytes = megabytes(told.grownBytes)
  if (endsWithMark) figures.crossed = told.seen / events
  if (perSecond === undefined) return { ...figures, eventsPerSecond: events / (told.elapsedMs / 1_000) }
  // Where some were dropped, nobody knows which.
  const latencies = told.at.length === events ? told.at.map((at, i) => at - sent.sentAt[i] / 1_000) : []
  figures.sentPerSecond = (events - 1) / ((sent.sentAt.at(-1) - sent.sentAt[0]) / 1_000_000)
  return { ...figures, ...spread('latency', latencies), ...(told.delays && spread('delay', told.delays)) }
}

/** Quantiles, and the samples themselves so that those of several rounds can be put together. */
export function spread(name, samples) {
  return {
    [`${name}_p50Ms`]: quantile(samples, 0.5),
    [`${name}_p99Ms`]: quantile(samples, 0.99),
    [`${name}_maxMs`]: quantile(samples, 1),
    [name]: samples,
  }
}

function megabytes(bytes) {
  return bytes / 1_048_576
}
