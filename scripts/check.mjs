// Runs everything that must hold, in order, and stops at the first failure. Names of steps as arguments run only those.
import { spawnSync } from 'node:child_process'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const bin = (name) => join('node_modules', '.bin', process.platform === 'win32' ? `${name}.cmd` : name)

// `napi build` builds for an explicit target: the same one here reuses what it built.
const host = /host: (.+)/.exec(read('rustc', ['-vV']))?.[1].trim()
const target = host ? ['--target', host] : []
const hasNextest = read('cargo', ['nextest', '--version']) !== ''
const whyNoCounts = reasonNotToCount()

const steps = [
  ['format', 'cargo', ['fmt', '--all', '--check']],
  ['clippy', 'cargo', ['clippy', '--workspace', '--all-targets', ...target, '--quiet', '--', '-D', 'warnings']],
  hasNextest
    ? ['rust', 'cargo', ['nextest', 'run', '--workspace', ...target]]
    : ['rust', 'cargo', ['test', '--workspace', ...target]],
  ['doctest', 'cargo', ['test', '--workspace', '--doc', '--quiet', ...target]],
  ['eslint', bin('eslint'), ['.', '--max-warnings', '0']],
  ['prettier', bin('prettier'), ['--check', '--log-level', 'warn', '.']],
  ['types', bin('tsc'), ['-p', '__test__/types']],
  ['node', process.execPath, ['--test']],
  ['counts', process.execPath, ['bench/counts.mjs'], whyNoCounts],
]

const wanted = process.argv.slice(2)
const unknown = wanted.filter((name) => !steps.some(([step]) => step === name))
if (unknown.length > 0) stop(`no such step: ${unknown.join(', ')}; there are ${steps.map(([name]) => name).join(', ')}`)

const done = []
for (const [name, command, args, whyNot] of steps) {
  if (wanted.length > 0 && !wanted.includes(name)) continue
  if (whyNot) {
    console.log(`\n— ${name}: skipped, ${whyNot}`)
    done.push(`skipped ${name}: ${whyNot}`)
    if (process.env.COUNTS === 'required') stop(`${done.join('\n')}\nCOUNTS=required: it must not be skipped here`)
    continue
  }
  console.log(`\n— ${name}: ${[command === process.execPath ? 'node' : command, ...args].join(' ')}`)
  const begin = Date.now()
  const { status } = spawnSync(command, args, { cwd: root, stdio: 'inherit', shell: process.platform === 'win32' })
  done.push(`${status === 0 ? 'ok    ' : 'FAILED'} ${name} (${((Date.now() - begin) / 1000).toFixed(1)} s)`)
  if (status !== 0) stop(done.join('\n'))
}
console.log(`\n${done.join('\n')}`)

/** Instructions are counted where they can be; continuous integration sets `COUNTS=required`. */
function reasonNotToCount() {
  if (host !== 'x86_64-unknown-linux-gnu') return 'the bounds are for x86_64-unknown-linux-gnu'
  return read('valgrind', ['--version']) === '' ? 'valgrind is not installed' : undefined
}

function read(command, args) {
  const { status, stdout } = spawnSync(command, args, { encoding: 'utf8', cwd: root })
  return status === 0 ? stdout : ''
}

function stop(message) {
  console.error(`\n${message}`)
  process.exit(1)
}
