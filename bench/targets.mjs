// What this package has set itself, beside ws + JSON.parse in the same run, and whether a run has met it.
import { groupOf } from './paced.mjs'

const SIZES = ['small', 'medium', 'large']

/** Ratios to ws at full blast; `floor` is the variant that shows what can hardly be undercut. */
const RATIOS = [
  { what: 'every body parsed, text path', variant: 'text', atMost: [0.6, 0.8, 0.82], floor: 'texts' },
  { what: 'every body parsed, shape-coded', variant: 'shaped', atMost: [0.3, 0.35, 0.5], floor: 'values' },
  { what: 'bodies not touched', variant: 'untouched', atMost: [0.08, 0.05, 0.07], floor: 'emit' },
  { what: 'bodies not touched, raw text', variant: 'raw', atMost: [0.08, 0.05, 0.07], floor: 'emit' },
  { what: 'bodies not touched, raw batches', variant: 'rawBatches', atMost: [0.08, 0.05, 0.07], floor: 'emit' },
  { what: '`select` of one field, read', variant: 'select', atMost: [0.18, 0.06, 0.04], floor: 'emit' },
  {
    what: 'every body parsed, TLS, text path',
    group: 'secure',
    variant: 'text',
    atMost: [0.58, 0.72, 0.7],
    floor: 'texts',
  },
  { what: 'every body parsed, TLS', group: 'secure', variant: 'parsed', atMost: [0.58, 0.72, 0.7], floor: 'values' },
  {
    what: 'events/s at blast, every body parsed, text path',
    figure: 'eventsPerSecond',
    variant: 'text',
    atLeast: [1.5, 1.15, 1.2],
  },
  {
    what: 'events/s at blast, every body parsed',
    figure: 'eventsPerSecond',
    variant: 'parsed',
    atLeast: [1.5, 1.15, 1.2],
  },
  {
    what: 'whole-process CPU, every body parsed, text path',
    figure: 'processMicros',
    variant: 'text',
    atMost: [0.75, 0.92, 0.93],
    floor: 'texts',
  },
  {
    what: 'whole-process CPU, every body parsed',
    figure: 'processMicros',
    variant: 'parsed',
    atMost: [0.75, 0.92, 0.93],
    floor: 'values',
  },
]

const MOST_MEGABYTES_MORE = 20
const MOST_MS_LATER = 0.3
/** While 40 MB a second arrive. A heap that grows once more is no leak. */
const MOST_MEGABYTES_GROWN = 10

/** One row per target and payload; what a run did not measure is left out. */
export function judged(result) {
  return [...ratios(result), ...paced(result), ...latency(result), ...memory(result), ...slowness(result)]
}

function* ratios({ plain, ...others }) {
  for (const { what, group, variant, figure = 'mainMicros', atMost, atLeast, floor } of RATIOS) {
    const figures = group === undefined ? plain : others[group]
    for (const [i, payload] of SIZES.entries()) {
      const { ws, [variant]: ours } = figures[payload] ?? {}
      if (ours === undefined) continue
      const row = { what, of: payload, value: ours[`${figure}_ratio`], quartiles: ours[`${figure}_ratioQuartiles`] }
      const lowest = plain[payload][floor] ?? plain.small[floor]
      if (lowest !== undefined) row.floor = lowest[figure] / ws[figure]
      yield verdict(row, { atMost: atMost?.[i], atLeast: atLeast?.[i] })
    }
  }
}

function* paced({ paced: groups }) {
  const figures = { mainMicros: 'main-thread CPU at a pace', delay_p99Ms: 'event-loop delay p99 beside other work' }
  for (const [figure, what] of Object.entries(figures)) {
    for (const [group, { parsed }] of Object.entries(groups)) {
      const [value, quartiles] = [parsed[`${figure}_ratio`], parsed[`${figure}_ratioQuartiles`]]
      const isAsked = figure === 'delay_p99Ms' || group.endsWith('5,000 per second')
      if (value !== undefined && isAsked) yield verdict({ what, of: group, value, quartiles }, { atMost: 1 })
    }
  }
}

function* latency({ paced: groups }) {
  const group = groupOf('mix', 100)
  const { ws, parsed } = groups[group]
  for (const part of ['p50', 'p99']) {
    const value = parsed[`latency_${part}Ms`] - ws[`latency_${part}Ms`]
    yield verdict({ what: `latency ${part} above ws, ms`, of: group, value }, { atMost: MOST_MS_LATER })
  }
}

function* memory({ plain }) {
  const whats = { parsed: 'every body parsed', untouched: 'bodies not touched' }
  for (const [variant, name] of Object.entries(whats)) {
    for (const of of SIZES) {
      const value = plain[of][variant].peakMegabytes - plain[of].ws.peakMegabytes
      yield verdict({ what: `peak memory above ws, MB, ${name}`, of, value }, { atMost: MOST_MEGABYTES_MORE })
    }
  }
}

function* slowness({ slow: groups }) {
  for (const [payload, { ws: _, ...variants }] of Object.entries(groups)) {
    const what = `ten times too slow, ${payload}`
    for (const [of, { grownMegabytes, counters }] of Object.entries(variants)) {
      const good = counters.filter(({ isExact, isObeyed }) => isExact && isObeyed)
      yield verdict({ what: `${what}: growth, MB`, of, value: grownMegabytes }, { atMost: MOST_MEGABYTES_GROWN })
      yield verdict(
        { what: `${what}: runs with exact counters, policy obeyed`, of, value: good.length },
        { atLeast: counters.length },
      )
    }
  }
}

function verdict(row, { atMost = Infinity, atLeast = -Infinity }) {
  const limit = atMost === Infinity ? { atLeast } : { atMost }
  return { ...row, ...limit, isMet: row.value <= atMost && row.value >= atLeast }
}
