// Events as fast as they are read: a fresh process for each variant and payload, so that none inherits anything.
import { measure } from './measure.mjs'

/** So many that the JavaScript thread of ws is busy for a tenth of a second at least. */
const EVENTS = { small: 60_000, medium: 10_000, large: 1_600, mix: 16_000, names: 16_000 }
/**
 * So many go before: until code is hot, and what is learnt of bodies (a form that one frame in a hundred has, from its 32nd time
 * on) is learnt. A client runs for weeks; its first second is not what is asked.
 */
const WARM_UP = { small: 20_000, medium: 18_000, large: 3_600, mix: 20_000, names: 20_000 }

export const PAYLOADS = Object.keys(EVENTS)

/** One round: variants of one payload follow each other closely, each round in another order. */
export async function blast({ source, samples, variants, payloads, round, part = 1 }) {
  for (const payload of payloads) {
    // All of them equally often, as often as is needed.
    const frames = source.about.payloads[payload].events
    for (const [name, variant] of rotated(variants, round)) {
      if ((variant.payload ?? payload) !== payload) continue
      const rounds = (events) => Math.ceil(events / frames) * frames
      const steps = [
        { payload, events: variant.isLocal ? frames : rounds(WARM_UP[payload]), isWarmUp: true },
        { payload, events: rounds(EVENTS[payload] * part) * (variant.factor ?? 1) },
      ]
      const [figures] = await measure({ source, variant, steps })
      samples.add(payload, name, figures)
    }
  }
}

/** Entries, each round beginning with another one: nobody is always first. */
export function rotated(object, round) {
  const entries = Object.entries(object)
  const start = entries.length === 0 ? 0 : round % entries.length
  return [...entries.slice(start), ...entries.slice(0, start)]
}
