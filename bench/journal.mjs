// What the journal costs: the same client with and without it, by turns.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { brief, medians, table } from './figures.mjs'
import { measure } from './measure.mjs'
import { VARIANTS } from './variants.mjs'

/** A journal on a memory file system would measure nothing: `BENCH_DIR` names a directory on a disk. */
const DIRECTORY = process.env.BENCH_DIR ?? tmpdir()
const PER_SECOND = 1_000

const JOURNALS = {
  off: { label: 'journal off', options: () => ({}) },
  interval: { label: "journal, sync 'interval'", options: (path) => ({ journal: { path, sync: 'interval' } }) },
  always: { label: "journal, sync 'always'", options: (path) => ({ journal: { path, sync: 'always' } }) },
}

export async function run({ quick, source, until, progress }) {
  const most = quick ? 1 : 7
  const blasted = quick ? 40_000 : 100_000
  const paced = quick ? 1_000 : 2_000
  const steps = [
    { payload: 'small', events: blasted / 10, isWarmUp: true },
    { payload: 'small', events: blasted },
    { payload: 'small', events: paced, perSecond: PER_SECOND },
  ]
  const samples = {}
  let rounds = 0
  while (rounds < most && (rounds === 0 || Date.now() < until)) {
    for (const [name, { options }] of Object.entries(JOURNALS)) {
      const [blast, steady] = await inDirectory((path) =>
        measure({ source, variant: VARIANTS.parsed, options: options(path), steps }),
      )
      const { latency_p50Ms, latency_p99Ms, latency_maxMs } = steady
      const taken = (samples[name] ??= [])
      taken.push({ ...blast, latency_p50Ms, latency_p99Ms, latency_maxMs })
    }
    progress(`journal: round ${++rounds} of ${most}`)
  }
  const result = { rounds }
  for (const [name, taken] of Object.entries(samples)) result[name] = medians(taken)
  for (const figures of [result.off, result.interval, result.always]) {
    figures.eventsPerSecond_ratio = figures.eventsPerSecond / result.off.eventsPerSecond
  }
  const bytes = Math.round(source.about.payloads.small.bytesPerEvent)
  const title =
    `journal: ${blasted.toLocaleString('en')} events of ${bytes} B at full blast, then ` +
    `${PER_SECOND.toLocaleString('en')} events/s (latency from the socket to the listener), median of ${rounds}`
  return { result, text: `${title}\n${table(Object.keys(JOURNALS).map((name) => row(name, result[name])))}` }
}

function row(name, figures) {
  return {
    variant: JOURNALS[name].label,
    'events/s': brief(figures.eventsPerSecond),
    '×': figures.eventsPerSecond_ratio.toFixed(2),
    'main µs': brief(figures.mainMicros),
    'process µs': brief(figures.processMicros),
    'peak MB': brief(figures.peakMegabytes),
    'p50 ms': brief(figures.latency_p50Ms),
    'p99 ms': brief(figures.latency_p99Ms),
    'max ms': brief(figures.latency_maxMs),
  }
}

async function inDirectory(act) {
  const directory = await mkdtemp(join(DIRECTORY, 'bench-journal-'))
  try {
    return await act(join(directory, 'events.journal'))
  } finally {
    await rm(directory, { recursive: true, maxRetries: 5 })
  }
}
