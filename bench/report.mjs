// The figures of `delivery` as tables.
import { brief, table } from './figures.mjs'
import { SLOW } from './slow.mjs'

export function report(result, { plain, secure }) {
  const labels = (variants) => (name) => variants[name].label
  return [
    ...blasts(result, labels(plain), labels(secure)),
    ...paces(result, labels(plain)),
    `delivery: a listener ten times too slow; growth is that of the second half\n${slows(result)}`,
    `delivery: time to load\n${table(Object.entries(result.load).map(([what, { ms }]) => ({ what, ms: brief(ms) })))}`,
    `delivery: targets\n${table(result.targets.map(targetRow))}`,
  ].join('\n\n')
}

function* blasts({ rounds, payloads, plain, secure }, labelOf, secureLabelOf) {
  for (const payload of Object.keys(plain)) {
    const bytes = Math.round(payloads[payload].bytesPerEvent).toLocaleString('en')
    const rows = [
      ...Object.entries(plain[payload]).map(([name, figures]) => blastRow(labelOf(name), figures)),
      ...Object.entries(secure[payload] ?? {}).map(([name, figures]) => blastRow(secureLabelOf(name), figures)),
    ]
    yield `delivery: ${payload}, ${bytes} B, at full blast, median of ${rounds}; × is the ratio to ws (quartiles)\n${table(rows)}`
  }
}

function blastRow(variant, figures) {
  return {
    variant,
    'main µs': brief(figures.mainMicros),
    '×': ratio(figures, 'mainMicros'),
    'process µs': brief(figures.processMicros),
    '× ': ratio(figures, 'processMicros'),
    'events/s': brief(figures.eventsPerSecond),
    '×  ': ratio(figures, 'eventsPerSecond'),
    'peak MB': brief(figures.peakMegabytes),
    crossed: figures.crossed === undefined ? '' : figures.crossed.toFixed(3),
  }
}

function* paces({ paced }, labelOf) {
  for (const [group, variants] of Object.entries(paced)) {
    const samples = variants.ws.latency_samples.toLocaleString('en')
    const title = `delivery: ${group}; quantiles of ${samples} latencies; event-loop delay beside other work (a quarter of the thread)`
    yield `${title}\n${table(Object.entries(variants).map(([name, figures]) => pacedRow(labelOf(name), figures)))}`
  }
}

function pacedRow(variant, figures) {
  return {
    variant,
    'main µs': brief(figures.mainMicros),
    '×': ratio(figures, 'mainMicros'),
    'process µs': brief(figures.processMicros),
    '× ': ratio(figures, 'processMicros'),
    'latency p50 ms': brief(figures.latency_p50Ms),
    p99: brief(figures.latency_p99Ms),
    max: brief(figures.latency_maxMs),
    'loop delay p50 ms': brief(figures.delay_p50Ms),
    'p99 ': brief(figures.delay_p99Ms),
    'max ': brief(figures.delay_maxMs),
    '×  ': ratio(figures, 'delay_p99Ms'),
  }
}

function slows({ slow }) {
  const rows = Object.values(slow).flatMap((variants) => Object.entries(variants))
  return table(
    rows.map(([name, { peakMegabytes, grownMegabytes, counters }]) => ({
      variant: SLOW[name].label,
      'peak MB': brief(peakMegabytes),
      'growth MB': brief(grownMegabytes),
      ...(counters?.[0] ?? {}),
    })),
  )
}

function targetRow({ what, of, value, quartiles, floor, atMost, atLeast, isMet }) {
  return {
    target: what,
    of,
    limit: atMost === undefined ? `≥ ${atLeast}` : `≤ ${atMost}`,
    measured: brief(value),
    quartiles: quartiles?.map(brief).join('–') ?? '',
    '': isMet ? 'met' : 'missed',
    floor: floor === undefined || isMet ? '' : brief(floor),
  }
}

function ratio(figures, name) {
  const value = figures[`${name}_ratio`]
  if (value === undefined) return ''
  const [low, high] = figures[`${name}_ratioQuartiles`]
  return `${value.toFixed(2)} (${low.toFixed(2)}–${high.toFixed(2)})`
}
