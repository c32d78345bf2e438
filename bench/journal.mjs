// What the journal costs. Each measurement is one source and one consumer, both fresh processes.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { median } from './figures.mjs'
import { measure } from './measure.mjs'

/** A journal on a memory file system would measure nothing: `BENCH_DIR` names a directory on a disk. */
const DIRECTORY = process.env.BENCH_DIR ?? tmpdir()

const VARIANTS = {
  'journal off': () => undefined,
  "journal, sync 'interval'": (path) => ({ path, sync: 'interval' }),
  "journal, sync 'always'": (path) => ({ path, sync: 'always' }),
}

export async function run({ quick }) {
  const rounds = quick ? 1 : 5
  const blast = { ratePerSecond: 100_000, count: quick ? 50_000 : 200_000 }
  const steady = { ratePerSecond: 1_000, count: quick ? 4_000 : 10_000 }
  const samples = Object.fromEntries(Object.keys(VARIANTS).map((name) => [name, []]))
  for (let round = 0; round < rounds; round++) {
    for (const [name, journal] of Object.entries(VARIANTS)) {
      samples[name].push({
        blast: await inDirectory((path) => measure({ traffic: blast, journal: journal(path) })),
        steady: await inDirectory((path) => measure({ traffic: steady, journal: journal(path) })),
      })
    }
  }
  const of = (name, pick) => median(samples[name].map(pick))
  const base = of('journal off', ({ blast }) => blast.eventsPerSecond)
  const rows = Object.keys(VARIANTS).map((name) => ({
    variant: name,
    'events/s': Math.round(of(name, ({ blast }) => blast.eventsPerSecond)),
    ratio: (of(name, ({ blast }) => blast.eventsPerSecond) / base).toFixed(2),
    'CPU µs/event': of(name, ({ blast }) => blast.cpuMicrosPerEvent).toFixed(1),
    'peak MB': Math.round(of(name, ({ blast }) => blast.peakMegabytes)),
    'p50 ms': of(name, ({ steady }) => steady.p50Ms),
    'p99 ms': of(name, ({ steady }) => steady.p99Ms),
    'max ms': of(name, ({ steady }) => steady.maxMs),
  }))
  const [{ blast: first }] = samples['journal off']
  const title =
    `journal: ${blast.count.toLocaleString('en')} events of ${Math.round(first.bytesPerEvent)} B at full blast, then ` +
    `${steady.ratePerSecond.toLocaleString('en')} events/s (latency from the source to the listener), median of ${rounds}`
  return { title, columns: Object.keys(rows[0]), rows, samples }
}

async function inDirectory(act) {
  const directory = await mkdtemp(join(DIRECTORY, 'bench-journal-'))
  try {
    return await act(join(directory, 'events.journal'))
  } finally {
    await rm(directory, { recursive: true })
  }
}
