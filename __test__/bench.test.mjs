import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'

import { measure } from '../bench/measure.mjs'
import { Samples } from '../bench/samples.mjs'
import { SLOW, slow } from '../bench/slow.mjs'
import { Source } from '../bench/source.mjs'
import { FLOORS, PACED, VARIANTS, secureVariants } from '../bench/variants.mjs'

// Figures of a debug build say nothing: what is asked is whether everybody who is measured does what is measured.
suite('benchmarks', () => {
  let source
  let directory
  let certificatePath

  before(async () => {
    source = await Source.start({ isTest: true })
    directory = await mkdtemp(join(tmpdir(), 'bench-test-'))
    certificatePath = join(directory, 'authority.pem')
    await writeFile(certificatePath, source.about.certificate)
  })
  after(async () => {
    await source?.stop()
    if (directory) await rm(directory, { recursive: true })
  })

  for (const [name, variant] of Object.entries({ ...VARIANTS, ...FLOORS, ...PACED })) {
    test(`${name}: ${variant.label}`, () => works(variant))
  }
  for (const [name, { label }] of Object.entries(secureVariants(''))) {
    test(`${name}: ${label}`, () => works(secureVariants(certificatePath)[name]))
  }

  async function works(variant) {
    // All that a payload has: bytes can only be counted of whole rounds.
    const { events } = source.about.payloads.mix
    const steps = [
      { payload: 'mix', events, isWarmUp: true },
      { payload: 'mix', events },
    ]
    const figures = await measure({ source, variant, steps })
    assert.equal(figures.length, 1)
    const [{ processMicros, eventsPerSecond, peakMegabytes, crossed }] = figures
    for (const figure of [processMicros, eventsPerSecond, peakMegabytes]) assert.ok(figure > 0, JSON.stringify(figures))
    // The mark has come, and nothing else is certain where some events may be left out.
    if (variant.endsWithMark) assert.ok(crossed >= 0 && crossed < 1, `${crossed} of the events crossed`)
  }

  test('at a pace there are latencies, and beside other work delays of the event loop', async () => {
    const steps = [{ payload: 'small', events: 50, perSecond: 500, otherWork: true }]
    const [figures] = await measure({ source, variant: VARIANTS.parsed, steps })
    assert.equal(figures.latency.length, 50)
    assert.ok(figures.latency_p50Ms <= figures.latency_p99Ms)
    assert.ok(figures.delay.length > 0)
    assert.ok(Math.abs(figures.sentPerSecond / 500 - 1) < 0.5, `${figures.sentPerSecond} a second`)
  })

  test('a slow listener: the counters are exact', async () => {
    const samples = new Samples()
    await slow({ source, samples, seconds: 0.2 })
    const { medium } = samples.summary()
    assert.deepEqual(Object.keys(medium), Object.keys(SLOW))
    const { pause, dropOldest, dropNewest } = medium
    for (const { counters } of [pause, dropOldest, dropNewest]) {
      assert.ok(counters[0].isExact, JSON.stringify(counters))
    }
    assert.equal(pause.counters[0].dropped, 0)
  })
})
