// Counts the instructions of each operation in micro/ under callgrind and fails where one takes a tenth more than
// counts.json says. `node bench/counts.mjs --write` writes what was counted there.
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'

import { table } from './figures.mjs'

const HEADROOM = 1.1
/** Below this part of what is written down, the bound no longer says much. */
const STALE = 0.8
const TARGET = 'x86_64-unknown-linux-gnu'
const BUILD = ['build', '--quiet', '--profile', 'counts', '--target', TARGET, '-p', 'genesys-notifications-micro']
const CALLGRIND = [
  '--tool=callgrind',
  '--callgrind-out-file=/dev/null',
  '--collect-atstart=no',
  '--toggle-collect=*micro*counted*',
]
const BASELINE = new URL('counts.json', import.meta.url)

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const program = build()
const counted = Object.fromEntries(operations().map(({ times, name }) => [name, count(name) / times]))
const compiler = run('rustc', ['--version']).split(' ')[1]

if (process.argv[2] === '--write') {
  const instructions = Object.fromEntries(Object.entries(counted).map(([name, each]) => [name, Math.round(each)]))
  writeFileSync(BASELINE, `${JSON.stringify({ compiler, instructions }, null, 2)}\n`)
} else {
  process.exitCode = check(JSON.parse(readFileSync(BASELINE, 'utf8')))
}

function check(baseline) {
  const names = [...new Set([...Object.keys(counted), ...Object.keys(baseline.instructions)])]
  const rows = names.map((name) => {
    const [is, was] = [counted[name], baseline.instructions[name]]
    const bound = Math.floor(was * HEADROOM)
    return { operation: name, instructions: is && Math.round(is), bound, verdict: verdict(is, was, bound) }
  })
  console.log(table(rows))
  const wrong = rows.filter(({ verdict }) => !['', 'stale'].includes(verdict))
  for (const { operation, instructions, bound, verdict } of wrong) {
    console.error(`counts: ${operation}: ${verdict} (${instructions} instructions, bound ${bound})`)
  }
  if (rows.some(({ verdict }) => verdict === 'stale')) {
    console.log('stale: much less than is written down; `node bench/counts.mjs --write` tightens the bound')
  }
  if (wrong.length === 0) return 0
  if (compiler !== baseline.compiler) {
    console.error(`counts: the bounds were made with Rust ${baseline.compiler}, this is ${compiler}`)
  }
  console.error('counts: if it is meant to be so: node bench/counts.mjs --write, and say why in the commit')
  return 1
}

function verdict(is, was, bound) {
  if (was === undefined) return 'has no bound'
  if (is === undefined) return 'is no longer counted'
  if (is > bound) return 'TOO MANY'
  return is < was * STALE ? 'stale' : ''
}

function build() {
  const messages = run('cargo', [...BUILD, '--message-format=json'])
    .trim()
    .split('\n')
  const { executable } = messages.map((line) => JSON.parse(line)).find(({ executable }) => executable) ?? {}
  if (!executable) throw new Error('cargo built no program')
  return executable
}

function operations() {
  const lines = run(program, []).trim().split('\n')
  return lines.map((line) => line.split('\t')).map(([times, name]) => ({ times: Number(times), name }))
}

/** What `counted` in micro/src/main.rs and all that it calls executed. */
function count(name) {
  // Symbols are resolved before it begins.
  const env = { ...process.env, LD_BIND_NOW: '1' }
  const said = run('valgrind', [...CALLGRIND, '--log-fd=1', program, name], { env })
  const collected = Number(/Collected : (\d+)/.exec(said)?.[1])
  if (!(collected > 0)) throw new Error(`callgrind counted nothing in '${name}':\n${said}`)
  return collected
}

function run(command, args, options = {}) {
  const stdio = ['ignore', 'pipe', 'inherit']
  return execFileSync(command, args, { cwd: root, encoding: 'utf8', stdio, maxBuffer: 64 << 20, ...options })
}
