// Makes a fresh clone ready: checks the tools, installs, builds the addon. Needs nothing but Node itself, and keeps
// stdout free for what is started next.
import { spawnSync } from 'node:child_process'
import { existsSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const NODE_MAJOR = 20
const RUST_MINOR = 90

const root = dirname(dirname(fileURLToPath(import.meta.url)))
/** `--release`: for benchmarks; everything else is quicker to build and as good. */
const isRelease = process.argv.includes('--release')
const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm'

checkNode()
checkCargo()
if (isInstallNeeded()) run('install', npm, ['ci', '--no-audit', '--no-fund', '--loglevel=error'])
run('build', npm, ['run', '--silent', isRelease ? 'build' : 'build:debug'])

function checkNode() {
  if (Number(process.versions.node.split('.')[0]) < NODE_MAJOR) {
    fail(`Node.js ${NODE_MAJOR} or newer is needed, this is ${process.version}.`)
  }
}

function checkCargo() {
  const found = spawnSync('cargo', ['--version'], { encoding: 'utf8' })
  const version = /cargo 1\.(\d+)/.exec(found.stdout ?? '')
  if (!version) {
    fail('cargo was not found. Install Rust with rustup (https://rustup.rs), open a new shell, and try again.')
  }
  if (Number(version[1]) < RUST_MINOR) {
    fail(`Rust 1.${RUST_MINOR} or newer is needed, this is ${found.stdout.trim()}. Run: rustup update stable`)
  }
}

function isInstallNeeded() {
  const installed = join(root, 'node_modules', '.package-lock.json')
  return !existsSync(installed) || statSync(installed).mtimeMs < statSync(join(root, 'package-lock.json')).mtimeMs
}

function run(step, command, args) {
  const begin = Date.now()
  console.error(`setup: ${step} …`)
  const { status } = spawnSync(command, args, {
    cwd: root,
    stdio: ['inherit', 2, 2],
    shell: process.platform === 'win32',
  })
  if (status !== 0) fail(`${step} failed: ${command} ${args.join(' ')}`)
  console.error(`setup: ${step} done in ${((Date.now() - begin) / 1000).toFixed(1)} s`)
}

function fail(message) {
  console.error(`setup: ${message}`)
  process.exit(1)
}
