// What it costs to get notifications to a listener: ws and Node's WebSocket beside ours in each mode.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { brief, medians, table } from './figures.mjs'
import { loadTimes } from './load.mjs'
import { measure } from './measure.mjs'
import { VARIANTS, secureVariants } from './variants.mjs'

/** About a quarter of a second each for ws; whole rounds of what the source holds. */
const EVENTS = { small: 80_000, medium: 16_000, large: 2_400, mix: 24_000 }
const QUICK_EVENTS = { small: 40_000, medium: 8_000, large: 1_200, mix: 12_000 }
/** Part of them that goes before, so that the code is hot. */
const WARM_UP = 1 / 4
const RATES = [1_000, 5_000]
const PACED_VARIANTS = ['ws', 'node', 'worker', 'parsed', 'iterator', 'batches']

const QUICK_VARIANTS = ['ws', 'worker', 'parsed', 'batches', 'untouched']
const QUICK_PACED_VARIANTS = ['ws', 'parsed']

export async function run({ quick, source }) {
  const plain = quick ? pick(VARIANTS, QUICK_VARIANTS) : VARIANTS
  const paced = pick(VARIANTS, quick ? QUICK_PACED_VARIANTS : PACED_VARIANTS)
  const rounds = quick ? 2 : 7
  const pacedRounds = quick ? 1 : 7
  const directory = await mkdtemp(join(tmpdir(), 'bench-'))
  try {
    const certificatePath = join(directory, 'authority.pem')
    await writeFile(certificatePath, source.about.certificate)
    const secure = quick ? {} : secureVariants(certificatePath)
    const blasts = { plain: {}, secure: {} }
    const paces = {}
    for (let round = 0; round < Math.max(rounds, pacedRounds); round++) {
      if (round < rounds) {
        for (const [payload, events] of Object.entries(quick ? QUICK_EVENTS : EVENTS)) {
          await blast(blasts.plain, rotated(plain, round), payload, events, source)
          await blast(blasts.secure, rotated(secure, round), payload, events, source)
        }
      }
      if (round < pacedRounds) await pace(paces, rotated(paced, round), quick ? 0.3 : 0.6, source)
    }
    const load = await loadTimes(quick ? 5 : 15)
    const result = {
      rounds,
      payloads: source.about.payloads,
      plain: collect(blasts.plain),
      secure: collect(blasts.secure),
      paced: collect(paces),
      load,
    }
    return { result, text: text(result, { ...plain, ...paced }, secure) }
  } finally {
    await rm(directory, { recursive: true })
  }
}

async function blast(samples, variants, payload, events, source) {
  const steps = [
    { payload, events: events * WARM_UP },
    { payload, events },
  ]
  for (const [name, variant] of variants) {
    const [figures] = await measure({ source, variant, steps })
    add(samples, payload, name, figures)
  }
}

/** Without other work for cost and latency, with it for the delay of the event loop. */
async function pace(samples, variants, seconds, source) {
  const steps = [{ payload: 'mix', events: 4_000 }]
  for (const otherWork of [false, true]) {
    for (const perSecond of RATES) steps.push({ payload: 'mix', events: perSecond * seconds, perSecond, otherWork })
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
    'peak MB': brief(figures.peakMegabytes),
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
