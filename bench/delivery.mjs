// What it costs to get notifications to a listener: ws and Node's WebSocket beside ours in each mode.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { brief, medians, table } from './figures.mjs'
import { loadTimes } from './load.mjs'
import { measure } from './measure.mjs'
import { VARIANTS, secureVariants } from './variants.mjs'

/** An eighth of a second each for ws; whole rounds of what the source holds. */
const EVENTS = { small: 40_000, medium: 8_000, large: 1_200, mix: 12_000 }
/** Part of them that goes before, so that the code is hot. */
const WARM_UP = 1 / 4
const RATES = [1_000, 5_000]
const PACED_SECONDS = 0.5
const PACED_VARIANTS = ['ws', 'node', 'worker', 'parsed', 'iterator', 'batches']

const QUICK_VARIANTS = ['ws', 'worker', 'parsed', 'batches', 'untouched']
const QUICK_PACED_VARIANTS = ['ws', 'parsed']

export async function run({ quick, source, until, progress }) {
  const plain = quick ? pick(VARIANTS, QUICK_VARIANTS) : VARIANTS
  const paced = pick(VARIANTS, quick ? QUICK_PACED_VARIANTS : PACED_VARIANTS)
  const most = quick ? 2 : 7
  const directory = await mkdtemp(join(tmpdir(), 'bench-'))
  try {
    const certificatePath = join(directory, 'authority.pem')
    await writeFile(certificatePath, source.about.certificate)
    const secure = quick ? {} : secureVariants(certificatePath)
    const blasts = { plain: {}, secure: {} }
    const paces = {}
    let rounds = 0
    while (rounds < most && (rounds === 0 || Date.now() < until)) {
      await blast(blasts.plain, rotated(plain, rounds), source)
      await blast(blasts.secure, rotated(secure, rounds), source)
      await pace(paces, rotated(paced, rounds), source)
      progress(`delivery: round ${++rounds} of ${most}`)
    }
    const result = {
      rounds,
      payloads: source.about.payloads,
      plain: collect(blasts.plain),
      secure: collect(blasts.secure),
      paced: collect(paces),
      load: await loadTimes(quick ? 3 : 15),
    }
    return { result, text: text(result, { ...plain, ...paced }, secure) }
  } finally {
    await rm(directory, { recursive: true })
  }
}

/** All payloads in one process, each after a warm-up with it. */
async function blast(samples, variants, source) {
  const steps = Object.entries(EVENTS).flatMap(([payload, events]) => [
    { payload, events: events * WARM_UP, isWarmUp: true },
    { payload, events },
  ])
  for (const [name, variant] of variants) {
    const figures = await measure({ source, variant, steps })
    for (const [i, payload] of Object.keys(EVENTS).entries()) add(samples, payload, name, figures[i])
  }
}

/** Without other work for cost and latency, with it for the delay of the event loop. */
async function pace(samples, variants, source) {
  const steps = [{ payload: 'mix', events: 4_000, isWarmUp: true }]
  for (const otherWork of [false, true]) {
    for (const perSecond of RATES)
      steps.push({ payload: 'mix', events: perSecond * PACED_SECONDS, perSecond, otherWork })
  }
  for (const [name, variant] of variants) {
    const figures = await measure({ source, variant, steps })
    for (const [i, perSecond] of RATES.entries()) {
      const alone = Object.fromEntries(Object.entries(figures[i]).filter(([key]) => key !== 'peakMegabytes'))
      const beside = figures[i + RATES.length]
      const delays = Object.fromEntries(Object.entries(beside).filter(([key]) => key.startsWith('delay')))
      add(samples, `${perSecond} per second`, name, { ...alone, ...delays })
    }
  }
}

function add(samples, payload, name, figures) {
  const ofPayload = (samples[payload] ??= {})
  const ofVariant = (ofPayload[name] ??= [])
  ofVariant.push(figures)
}

function collect(samples) {
  return map(samples, (variants) => {
    const collected = map(variants, medians)
    return map(collected, (figures) => ({ ...figures, ...ratios(figures, collected.ws) }))
  })
}

function ratios(figures, base) {
  const ratio = {}
  for (const name of ['mainMicros', 'processMicros', 'eventsPerSecond']) {
    if (name in figures) ratio[`${name}_ratio`] = figures[name] / base[name]
  }
  return ratio
}

function text({ rounds, payloads, plain, secure, paced, load }, variants, secureVariants) {
  const parts = []
  for (const payload of Object.keys(plain)) {
    const bytes = Math.round(payloads[payload].bytesPerEvent).toLocaleString('en')
    parts.push(`delivery: ${payload}, ${bytes} B, at full blast, median of ${rounds}; × is the ratio to ws`)
    const rows = [
      ...Object.entries(plain[payload]).map(([name, figures]) => blastRow(variants[name].label, figures)),
      ...Object.entries(secure[payload] ?? {}).map(([name, figures]) => blastRow(secureVariants[name].label, figures)),
    ]
    parts.push(`${table(rows)}\n`)
  }
  for (const [rate, ofRate] of Object.entries(paced)) {
    parts.push(`delivery: mix at ${rate}; event-loop delay beside other work (a quarter of the thread)`)
    parts.push(`${table(Object.entries(ofRate).map(([name, figures]) => pacedRow(variants[name].label, figures)))}\n`)
  }
  parts.push('delivery: peak memory of the process after all of the payloads')
  const last = Object.entries(plain[Object.keys(plain).at(-1)])
  const peaks = last.map(([name, figures]) => ({ variant: variants[name].label, MB: brief(figures.peakMegabytes) }))
  parts.push(`${table(peaks)}\n`)
  parts.push('delivery: time to load')
  parts.push(table(Object.entries(load).map(([what, { ms }]) => ({ what, ms: brief(ms) }))))
  return parts.join('\n')
}

function blastRow(variant, figures) {
  return {
    variant,
    'events/s': brief(figures.eventsPerSecond),
    '×': figures.eventsPerSecond_ratio.toFixed(2),
    'main µs': brief(figures.mainMicros),
    '× ': figures.mainMicros_ratio.toFixed(2),
    'process µs': brief(figures.processMicros),
    '×  ': figures.processMicros_ratio.toFixed(2),
  }
}

function pacedRow(variant, figures) {
  return {
    variant,
    'main µs': brief(figures.mainMicros),
    '×': figures.mainMicros_ratio.toFixed(2),
    'process µs': brief(figures.processMicros),
    '× ': figures.processMicros_ratio.toFixed(2),
    'latency p50 ms': brief(figures.latency_p50Ms),
    p99: brief(figures.latency_p99Ms),
    max: brief(figures.latency_maxMs),
    'loop delay p50 ms': brief(figures.delay_p50Ms),
    'p99 ': brief(figures.delay_p99Ms),
    'max ': brief(figures.delay_maxMs),
  }
}

function map(object, change) {
  return Object.fromEntries(Object.entries(object).map(([name, value]) => [name, change(value)]))
}

function pick(object, names) {
  return Object.fromEntries(names.map((name) => [name, object[name]]))
}

/** Entries, each round beginning with another one: nobody is always first. */
function rotated(object, round) {
  const entries = Object.entries(object)
  const start = entries.length === 0 ? 0 : round % entries.length
  return [...entries.slice(start), ...entries.slice(0, start)]
}
