// Runs benchmarks by name (default: all) and prints tables. A full run also writes results.json and chart.svg beside this
// file; `--quick` takes less than a minute and writes nothing, `--json <file>` writes the figures there. After `--minutes`
// no benchmark begins another round; how many there were is said.
import { spawnSync } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import os from 'node:os'
import { parseArgs } from 'node:util'

import { chart } from './chart.mjs'
import * as delivery from './delivery.mjs'
import * as journal from './journal.mjs'
import * as scale from './scale.mjs'
import { Source } from './source.mjs'

const BENCHMARKS = { journal, delivery, scale }
const RESULTS = new URL('results.json', import.meta.url)
const CHART = new URL('chart.svg', import.meta.url)

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: 'boolean', default: false },
    json: { type: 'string' },
    minutes: { type: 'string', default: '30' },
  },
})
const names = positionals.length > 0 ? positionals : Object.keys(BENCHMARKS)
for (const name of names) {
  if (!(name in BENCHMARKS)) {
    console.error(`no such benchmark: ${name}; there are ${Object.keys(BENCHMARKS).join(', ')}`)
    process.exit(2)
  }
}

const results = {}
const until = Date.now() + Number(values.minutes) * 60_000
const source = await Source.start()
try {
  for (const name of names) {
    const { result, text } = await BENCHMARKS[name].run({ quick: values.quick, source, until, progress })
    results[name] = { machine: machine(), ...result }
    console.log(`\n${text}`)
  }
} finally {
  await source.stop()
}
if (values.json) await write(values.json, results)
if (!values.quick) {
  await write(RESULTS, { ...(await previous()), ...results })
  if (results.delivery) await writeFile(CHART, chart(results.delivery))
}

function progress(line) {
  console.error(line)
}

async function write(file, figures) {
  await writeFile(file, `${JSON.stringify(figures, rounded, 2)}\n`)
}

function rounded(_, value) {
  return typeof value === 'number' && !Number.isInteger(value) ? Number(value.toPrecision(4)) : value
}

async function previous() {
  try {
    return JSON.parse(await readFile(RESULTS, 'utf8'))
  } catch {
    return {}
  }
}

/** What the figures belong to. */
function machine() {
  const [{ model }] = os.cpus()
  return {
    commit: said('git', ['rev-parse', '--short', 'HEAD']),
    date: new Date().toISOString().slice(0, 10),
    cpu: `${os.cpus().length} × ${model.trim()}`,
    memory: `${Math.round(os.totalmem() / 2 ** 30)} GiB`,
    system: `${os.type()} ${os.release()} ${os.arch()}`,
    /** Over five minutes, when the benchmark ended: much more than its own two processes means that others were at work. */
    loadAverage: os.loadavg()[1],
    node: process.version,
    rust: said('rustc', ['--version'])?.split(' ')[1],
    ws: createRequire(import.meta.url)('ws/package.json').version,
  }
}

function said(command, args) {
  return spawnSync(command, args, { encoding: 'utf8' }).stdout?.trim()
}
