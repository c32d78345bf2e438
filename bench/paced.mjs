// Events at a pace: what they cost then, how long they take to the listener, and how late the event loop is beside them.
import { measure } from './measure.mjs'
import { rotated } from './blast.mjs'

/** Seconds to measure, by events a second. */
const ALONE = { 100: 2, 1_000: 0.5, 5_000: 0.5 }
const BESIDE_WORK = { 1_000: 1, 5_000: 1 }
const WARM_UP_EVENTS = 20_000

export async function pace({ source, samples, variants, round, part = 1 }) {
  const steps = [
    ...Object.entries(ALONE).map(([rate, seconds]) => step('mix', Number(rate), seconds * part)),
    step('small', 5_000, ALONE[5_000] * part),
  ]
  const beside = Object.entries(BESIDE_WORK).map(([rate, seconds]) => ({
    ...step('mix', Number(rate), seconds * part),
    otherWork: true,
  }))
  const warmUp = { payload: 'mix', events: WARM_UP_EVENTS, isWarmUp: true }
  for (const [name, variant] of rotated(variants, round)) {
    const figures = await measure({ source, variant, steps: [warmUp, ...steps, ...beside] })
    for (const [i, { payload, perSecond }] of steps.entries()) {
      const { peakMegabytes: _, ...alone } = figures[i]
      samples.add(groupOf(payload, perSecond), name, { ...alone, ...delaysOf(figures, steps, beside, steps[i]) })
    }
  }
}

/** What a group of figures is called. */
export function groupOf(payload, perSecond) {
  return `${payload}, ${perSecond.toLocaleString('en')} per second`
}

function step(payload, perSecond, seconds) {
  return { payload, events: Math.ceil(perSecond * seconds), perSecond }
}

/** Figures of the event loop, from the step with the same payload and pace beside other work. */
function delaysOf(figures, steps, beside, { payload, perSecond }) {
  const i = beside.findIndex((other) => other.payload === payload && other.perSecond === perSecond)
  if (i < 0) return {}
  return Object.fromEntries(Object.entries(figures[steps.length + i]).filter(([name]) => name.startsWith('delay')))
}
