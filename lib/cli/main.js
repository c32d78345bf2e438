'use strict'

const { parseArgs } = require('node:util')

const { EXIT, UsageError, exitCodeOf, explain } = require('./exit')
const { didYouMean } = require('../suggest')

const NAME = 'genesys-cloud-notifications'
const COMMANDS = {
  demo: 'Simulator and client in one process: a run of faults, every event accounted for',
  listen: 'Print events as JSON lines; survives drops',
  doctor: 'Try each stage of a connection and say what is wrong',
  topics: 'Search the list of topics, offline',
  plan: 'Show how topics would be packed into names and channels',
  simulate: 'Run a fake Genesys Cloud on this machine',
  replay: 'Print the events of a journal once more',
  report: 'Print the continuity report of a journal: gaps, channels, rotations',
}
const COMMON = {
  help: { type: 'boolean', short: 'h' },
  json: { type: 'boolean' },
}

/** Runs one command; resolves with its exit code. */
async function main(args) {
  quietOnClosedPipe()
  const [name, ...rest] = args
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    process.stdout.write(overview())
    return name === undefined ? EXIT.usage : EXIT.done
  }
  if (name === '--version') {
    process.stdout.write(`${require('../../package.json').version}\n`)
    return EXIT.done
  }
  try {
    return await run(name, rest)
  } catch (error) {
    process.stderr.write(`${NAME}: ${explain(error)}\n`)
    if (error instanceof UsageError)
      process.stderr.write(`See "${NAME} ${error.command ?? ''} --help".\n`.replace('  ', ' '))
    return exitCodeOf(error)
  }
}

async function run(name, args) {
  if (!Object.hasOwn(COMMANDS, name))
    throw new UsageError(`no command "${name}"${didYouMean(name, Object.keys(COMMANDS))}`)
  const command = require(`./${name}`)
  const { values, positionals } = parse(name, command, args)
  if (values.help) {
    process.stdout.write(help(name, command))
    return EXIT.done
  }
  const { signal, end } = untilInterrupted()
  return command.run({ values, positionals, signal, end, env: process.env })
}

function parse(name, command, args) {
  try {
    return parseArgs({ args, options: { ...COMMON, ...command.options }, allowPositionals: true, strict: true })
  } catch (error) {
    throw Object.assign(new UsageError(error.message), { command: name })
  }
}

/** Aborts with `end()`, or with the first SIGINT or SIGTERM; the second ends the process at once. */
function untilInterrupted() {
  const controller = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM']) {
    process.on(name, () => {
      if (controller.signal.aborted) process.exit(130)
      controller.abort()
    })
  }
  return { signal: controller.signal, end: () => controller.abort() }
}

/** `… | head` closes the pipe: nothing is left to be said then. */
function quietOnClosedPipe() {
  process.stdout.on('error', (error) => {
    if (error.code === 'EPIPE') process.exit(EXIT.done)
    throw error
  })
}

function overview() {
  const width = Math.max(...Object.keys(COMMANDS).map((name) => name.length))
  const lines = Object.entries(COMMANDS).map(([name, summary]) => `  ${name.padEnd(width)}  ${summary}`)
  return `${NAME} <command> [options]\n\n${lines.join('\n')}\n\nEach has --help and --json. ${exitCodes()}\n`
}

function help(name, { usage, details }) {
  return `${NAME} ${name} ${usage}\n\n${COMMANDS[name]}.\n\n${details}\n  --json              Machine-readable output\n  --help              This text\n\n${exitCodes()}\n`
}

function exitCodes() {
  return 'Exit codes: 0 done, 2 usage, 3 credentials, 4 permission, 5 network, 6 gap or loss.'
}

module.exports = { main }
