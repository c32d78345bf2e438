'use strict'

const { setTimeout: sleep } = require('node:timers/promises')

const { eventsOf, readRange } = require('../replay')
const { readNumber } = require('./connection')
const { EXIT, UsageError } = require('./exit')
const { readJournalPath } = require('./journal-file')
const { writeLines } = require('./lines')

const usage = '<journal> [options]'
const options = {
  from: { type: 'string' },
  to: { type: 'string' },
  speed: { type: 'string' },
  raw: { type: 'boolean' },
}
const details = `Prints the events of a journal as JSON lines, oldest first, also while a client writes it. Acknowledged events are
kept for the time that the client's journal.maxAgeMs says. Acknowledges nothing.

  --from WHEN         The first: a time (2026-03-01T12:00Z, or milliseconds since the epoch) or a sequence (#1234)
  --to WHEN           The first not to be printed any more. Default: to the end
  --speed N           1 as they came, 10 ten times as fast. Default: as fast as possible
  --raw               Print frames as the service sent them`

/** Lines that leave in one go; with --speed each leaves when its time has come. */
const BLOCK = 256

async function run({ values, positionals, signal }) {
  const path = readJournalPath(positionals)
  const range = readRange({ from: readBound(values, 'from') ?? 0, to: readBound(values, 'to') })
  const speed = readNumber(values, 'speed', { min: 0.001, max: 1_000_000, fallback: 0 })
  const due = speed > 0 ? pacer(speed) : undefined
  let lines = []
  for await (const event of eventsOf(path, range)) {
    if (due !== undefined && !(await due(event.receivedAt, signal))) break
    lines.push(values.raw ? event.raw : JSON.stringify(event))
    if (due === undefined && lines.length < BLOCK) continue
    await writeLines(lines)
    lines = []
    if (signal.aborted) break
  }
  if (lines.length > 0) await writeLines(lines)
  return EXIT.done
}

function readBound(values, flag) {
  const text = values[flag]
  if (text === undefined) return undefined
  if (/^#\d+$/.test(text)) return Number(text.slice(1))
  const ms = /^\d+$/.test(text) ? Number(text) : Date.parse(text)
  if (Number.isNaN(ms) || Number.isNaN(new Date(ms).getTime()))
    throw new UsageError(`--${flag} must be a time, as in 2026-03-01T12:00Z, or a sequence, as in #1234, not "${text}"`)
  return new Date(ms)
}

/** Waits until an event's turn has come; false if the wait was interrupted. */
function pacer(speed) {
  const begin = Date.now()
  let first
  return async (receivedAt, signal) => {
    first ??= receivedAt
    const waitMs = begin + (receivedAt - first) / speed - Date.now()
    if (waitMs > 0) await sleep(waitMs, undefined, { signal }).catch(() => {})
    return !signal.aborted
  }
}

module.exports = { usage, options, details, run }
