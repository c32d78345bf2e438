// What several rounds have measured, and what becomes of it.
import { median, medians, quartiles } from './figures.mjs'
import { spread } from './measure.mjs'

const BASE = 'ws'
const RATIOS = ['mainMicros', 'processMicros', 'eventsPerSecond', 'delay_p99Ms']
/** Samples of single events, which are put together over all rounds. */
const POOLED = ['latency', 'delay']

export class Samples {
  /** By group and variant, a list with one entry per round. */
  #groups = {}

  add(group, variant, figures) {
    const variants = (this.#groups[group] ??= {})
    const taken = (variants[variant] ??= [])
    taken.push(figures)
  }

  /**
   * By group and variant: the medians of all figures; for those that are compared with ws also the median (`_ratio`) and
   * the quartiles (`_ratioQuartiles`) of the ratios that each round had. What several steps of a round shared, such as
   * a slow moment of the machine, cancels out there.
   */
  summary() {
    return map(this.#groups, (variants) => map(variants, (taken) => summarised(taken, variants[BASE])))
  }
}

function summarised(taken, base) {
  const summary = medians(taken)
  for (const name of POOLED) {
    if (!Array.isArray(taken[0][name])) continue
    const { [name]: all, ...quantiles } = spread(
      name,
      taken.flatMap((figures) => figures[name]),
    )
    Object.assign(summary, quantiles, { [`${name}_samples`]: all.length })
  }
  const counters = taken.map((figures) => figures.counters).filter(Boolean)
  if (counters.length > 0) summary.counters = counters
  if (base === undefined) return summary
  for (const name of RATIOS) {
    if (!(name in taken[0]) || !(name in base[0])) continue
    const ratios = taken.map((figures, round) => figures[name] / base[round][name])
    summary[`${name}_ratio`] = median(ratios)
    summary[`${name}_ratioQuartiles`] = quartiles(ratios)
  }
  return summary
}

function map(object, change) {
  return Object.fromEntries(Object.entries(object).map(([name, value]) => [name, change(value)]))
}
