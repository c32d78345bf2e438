// A listener ten times slower than events come, for a while, and then as quick as it can be: what becomes of memory, and
// whether the counters add up.
import { measure } from './measure.mjs'
import { VARIANTS } from './variants.mjs'

const PAYLOAD = 'medium'
const PER_SECOND = 10_000
const TIMES_SLOWER = 10
const WARM_UP_EVENTS = 1_000

export const SLOW = {
  ws: VARIANTS.ws,
  pause: { ...VARIANTS.parsed, label: "ours, onFull 'pause'" },
  dropOldest: dropping('dropOldest'),
  dropNewest: dropping('dropNewest'),
}

function dropping(onFull) {
  return {
    ...VARIANTS.parsed,
    label: `ours, onFull '${onFull}'`,
    drops: true,
    options: () => ({ queue: { onFull } }),
  }
}

/** Events arrive for so many seconds, or would if they were read. */
export async function slow({ source, samples, seconds }) {
  const eachMs = (TIMES_SLOWER * 1_000) / PER_SECOND
  const steps = [
    { payload: PAYLOAD, events: WARM_UP_EVENTS, isWarmUp: true },
    {
      payload: PAYLOAD,
      events: Math.round(PER_SECOND * seconds),
      perSecond: PER_SECOND,
      slow: { eachMs, forMs: seconds * 1_000 },
    },
  ]
  const sent = steps.reduce((sum, { events }) => sum + events, 0)
  for (const [name, variant] of Object.entries(SLOW)) {
    const [{ peakMegabytes, grownMegabytes, counters }] = await measure({ source, variant, steps })
    samples.add(PAYLOAD, name, { peakMegabytes, grownMegabytes, ...counted(name, counters, sent) })
  }
}

/** Since the client began, the warm-up included. */
function counted(name, counters, sent) {
  if (counters === undefined) return {}
  const { received, delivered, dropped } = counters
  const isExact = sent === received && received === delivered + dropped
  const isObeyed = name === 'pause' ? dropped === 0 : dropped > 0
  return { counters: { sent, received, delivered, dropped, isExact, isObeyed } }
}
