import assert from 'node:assert/strict'
import { test } from 'node:test'

import { PAYLOADS } from '../bench/blast.mjs'
import { chart } from '../bench/chart.mjs'
import { groupOf } from '../bench/paced.mjs'
import { readmeTable } from '../bench/readme-table.mjs'
import { report } from '../bench/report.mjs'
import { Samples } from '../bench/samples.mjs'
import { SLOW } from '../bench/slow.mjs'
import { judged } from '../bench/targets.mjs'
import { FLOORS, PACED, VARIANTS, secureVariants } from '../bench/variants.mjs'

const ALL = { ...VARIANTS, ...FLOORS }

test('ratios are those of each round, figures are medians, single samples are put together', () => {
  const samples = new Samples()
  for (const slowness of [1, 10, 100]) {
    samples.add('small', 'ws', { mainMicros: 2 * slowness, eventsPerSecond: 8, latency: [1, slowness] })
    samples.add('small', 'parsed', { mainMicros: slowness, eventsPerSecond: slowness, latency: [1, 1] })
  }
  const { ws, parsed } = samples.summary().small
  assert.deepEqual([ws.mainMicros, ws.mainMicros_ratio, ws.latency_maxMs, ws.latency_samples], [20, 1, 100, 6])
  assert.deepEqual([parsed.mainMicros, parsed.mainMicros_ratio], [10, 0.5])
  assert.deepEqual(parsed.mainMicros_ratioQuartiles, [0.5, 0.5])
  assert.deepEqual(parsed.eventsPerSecond_ratioQuartiles, [1 / 8, 100 / 8])
})

test('targets are met up to their limits, and what was not measured is no target', () => {
  const rowsAt = (part) => judged(results(part))
  const find = (rows, what, of) => rows.find((row) => row.what === what && row.of === of)
  const rows = rowsAt(0.3)
  const shaped = find(rows, 'every body parsed, shape-coded', 'small')
  assert.deepEqual([shaped.value, shaped.atMost, shaped.isMet], [0.3, 0.3, true])
  assert.equal(find(rowsAt(0.31), 'every body parsed, shape-coded', 'small').isMet, false)
  assert.equal(find(rows, 'events/s at blast, every body parsed', 'small').isMet, false, 'more is better')
  assert.equal(find(rows, 'bodies not touched', 'small').floor, 0.3)
  assert.ok(rows.every(({ value }) => Number.isFinite(value)))
  const later = find(rows, 'latency p99 above ws, ms', groupOf('mix', 100))
  assert.ok(later.value < 0 && later.isMet)

  const untouched = results(0.3)
  for (const payload of Object.values(untouched.plain)) delete payload.shaped
  assert.equal(find(judged(untouched), 'every body parsed, shape-coded', 'small'), undefined)
})

test('counters that do not add up are no good', () => {
  const result = results(0.3)
  const find = () => judged(result).find(({ what, of }) => /counters/.test(what) && of === 'dropOldest')
  assert.equal(find().isMet, true)
  result.slow.medium.dropOldest.counters[0].isExact = false
  assert.equal(find().isMet, false)
})

test('tables, chart and README are made of the same results', () => {
  const result = results(0.25)
  result.targets = judged(result)
  const text = report(result, { plain: { ...ALL, ...PACED }, secure: secureVariants('') })
  for (const { label } of Object.values(ALL)) assert.ok(text.includes(label), label)
  assert.ok(text.includes('met') && text.includes('missed'))

  const delivery = { machine: { cpu: '2 × test', loadAverage: 0.5, node: 'v1', ws: '1.0.0' }, ...result }
  const picture = chart(delivery)
  assert.ok(picture.includes('>0.25</text>') && !picture.includes('NaN') && !picture.includes('undefined'))
  const table = readmeTable({ delivery })
  assert.match(table, /\| every body parsed \|( 0\.25 \|){5}\n/)
  assert.ok(!table.includes('NaN') && !table.includes('undefined'), table)
})

/** As `delivery` puts them together; everybody but ws needs this part of what ws needs. */
function results(part) {
  const [plain, secure, paced, slow] = [new Samples(), new Samples(), new Samples(), new Samples()]
  const need = (name) => (name === 'ws' ? 1 : part)
  const figures = (name) => ({
    mainMicros: need(name),
    processMicros: need(name),
    eventsPerSecond: need(name),
    peakMegabytes: 50,
  })
  for (const payload of PAYLOADS) {
    for (const name of Object.keys(ALL)) plain.add(payload, name, figures(name))
    for (const name of Object.keys(secureVariants(''))) secure.add(payload, name, figures(name))
  }
  for (const [payload, perSecond] of [
    ['mix', 100],
    ['mix', 1_000],
    ['mix', 5_000],
    ['small', 5_000],
  ]) {
    for (const name of Object.keys(PACED)) {
      const delays = payload === 'mix' && perSecond > 100 ? { delay: [need(name)], delay_p99Ms: need(name) } : {}
      paced.add(groupOf(payload, perSecond), name, { ...figures(name), latency: [need(name)], ...delays })
    }
  }
  for (const name of Object.keys(SLOW)) {
    const counters = { sent: 2, received: 2, delivered: 1, dropped: 1, isExact: true, isObeyed: true }
    slow.add('medium', name, { peakMegabytes: 80, grownMegabytes: 1, ...(name !== 'ws' && { counters }) })
  }
  return {
    rounds: 1,
    payloads: Object.fromEntries(PAYLOADS.map((name) => [name, { bytesPerEvent: 500 }])),
    plain: plain.summary(),
    secure: secure.summary(),
    paced: paced.summary(),
    slow: slow.summary(),
    load: { ws: { ms: 1 }, ours: { ms: 1 } },
  }
}
