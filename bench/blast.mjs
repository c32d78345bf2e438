// Events as fast as they are read: a fresh process for each variant and payload, so that none inherits anything.
import { measure } from './measure.mjs'

/** So many that the JavaScript thread of ws is busy for a tenth of a second at least. */
const EVENTS = { small: 60_000, medium: 10_000, large: 1_600, mix: 16_000, names: 16_000 }
/** Part of them that goes before, so that the code is hot. */
const WARM_UP = 1 / 4

export const PAYLOADS = Object.keys(EVENTS)

/** One round: variants of one payload follow each other closely, each round in another order. */
export async function blast({ source, samples, variants, payloads, round, part = 1 }) {
  for (const payload of payloads) {
    // All of them equally often, as often as is needed.
    const frames = source.about.payloads[payload].events
    for (const [name, variant] of rotated(variants, round)) {
      if ((variant.payload ?? payload) !== payload) continue
      const rounds = (part) => Math.ceil((EVENTS[payload] * part) / frames) * frames
      const steps = [
        { payload, events: rounds(part * WARM_UP), isWarmUp: true },
        { payload, events: rounds(part) * (variant.factor ?? 1) },
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
