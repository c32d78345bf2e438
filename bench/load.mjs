// How long a client takes to load, in a fresh process each time.
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

import { median } from './figures.mjs'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const LOADS = { ws: "require('ws')", ours: "require('./index.js')" }

export async function loadTimes(rounds) {
  const samples = Object.fromEntries(Object.keys(LOADS).map((name) => [name, []]))
  for (let round = 0; round < rounds; round++) {
    for (const [name, load] of Object.entries(LOADS)) samples[name].push(once(load))
  }
  return Object.fromEntries(Object.entries(samples).map(([name, times]) => [name, { ms: median(times) }]))
}

function once(load) {
  const script = `const begin = performance.now(); ${load}; console.log(performance.now() - begin)`
  return Number(execFileSync(process.execPath, ['-e', script], { cwd: ROOT, encoding: 'utf8' }))
}
