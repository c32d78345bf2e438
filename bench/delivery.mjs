// What it costs to get notifications to a listener: ws and Node's WebSocket beside ours in each mode.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { PAYLOADS, blast } from './blast.mjs'
import { loadTimes } from './load.mjs'
import { pace } from './paced.mjs'
import { report } from './report.mjs'
import { Samples } from './samples.mjs'
import { slow } from './slow.mjs'
import { judged } from './targets.mjs'
import { FLOORS, PACED, QUICK, VARIANTS, secureVariants } from './variants.mjs'

/** `part`: of the events that a full run sends. Slow consumers and loading vary little: few rounds do. */
const FULL = { rounds: 7, part: 1, slowRounds: 3, slowSeconds: 3, loads: 15 }
const SHORT = { rounds: 2, part: 1 / 3, slowRounds: 1, slowSeconds: 1, loads: 3 }

export async function run({ quick, source, until, progress }) {
  const { rounds: most, part, slowRounds, slowSeconds, loads } = quick ? SHORT : FULL
  const directory = await mkdtemp(join(tmpdir(), 'bench-'))
  try {
    const certificatePath = join(directory, 'authority.pem')
    await writeFile(certificatePath, source.about.certificate)
    const plain = { ...VARIANTS, ...FLOORS }
    const secure = secureVariants(certificatePath)
    const payloads = quick ? QUICK.payloads : PAYLOADS
    const samples = { plain: new Samples(), secure: new Samples(), paced: new Samples(), slow: new Samples() }
    let rounds = 0
    while (rounds < most && (rounds === 0 || Date.now() < until)) {
      const common = { source, round: rounds, part }
      await blast({ ...common, samples: samples.plain, variants: quick ? pick(plain, QUICK.plain) : plain, payloads })
      await blast({
        ...common,
        samples: samples.secure,
        variants: quick ? pick(secure, QUICK.secure) : secure,
        payloads,
      })
      await pace({ ...common, samples: samples.paced, variants: quick ? pick(PACED, QUICK.paced) : PACED })
      if (rounds < slowRounds) await slow({ source, samples: samples.slow, seconds: slowSeconds })
      progress(`delivery: round ${++rounds} of ${most}`)
    }
    const result = {
      rounds,
      payloads: source.about.payloads,
      ...Object.fromEntries(Object.entries(samples).map(([name, taken]) => [name, taken.summary()])),
      load: await loadTimes(loads),
    }
    result.targets = judged(result)
    return { result, text: report(result, { plain: { ...plain, ...PACED }, secure }) }
  } finally {
    await rm(directory, { recursive: true })
  }
}

function pick(object, names) {
  return Object.fromEntries(names.filter((name) => name in object).map((name) => [name, object[name]]))
}
