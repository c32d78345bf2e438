'use strict'

const { choice, file, group, join, number, show, wrong } = require('./check')

const DAY = 86_400_000
/** Without `syncIntervalMs`, the most that a power cut may cost with `sync: 'interval'`. */
const SYNC_INTERVAL_MS = 1_000

const readMembers = group({
  path: file({ for: 'events' }),
  maxBytes: number({ min: 1_048_576, max: 1_099_511_627_776, fallback: 1_073_741_824 }),
  maxAgeMs: number({ min: 0, max: 365 * DAY, fallback: DAY }),
  onFull: choice({ of: ['pause', 'evictOldest', 'fail'], fallback: 'pause' }),
  sync: choice({ of: ['always', 'interval'], fallback: 'always' }),
  syncIntervalMs: number({ min: 1, max: 60_000 }),
})

/** `journal`: null if there is none. */
function journal(value, path) {
  if (value === undefined) return null
  const read = readMembers(value, path)
  if (read.sync === 'interval') return { syncIntervalMs: SYNC_INTERVAL_MS, ...read }
  if (read.syncIntervalMs !== undefined) {
    throw wrong(join(path, 'syncIntervalMs'), `is of no use without sync: 'interval'; every commit is synced`)
  }
  return read
}

function manualAck(value, path) {
  if (value === undefined) return false
  if (typeof value !== 'boolean') throw wrong(path, `must be true or false, not ${show(value)}`)
  return value
}

/** Refuses what goes against, or is nothing without, a journal or a cursor. */
function checkWithJournal({ journal, cursor, manualAck }, given) {
  if (journal === null && cursor.core === null && manualAck) {
    throw wrong(
      'manualAck',
      'needs a journal, which keeps events until ack(), or a cursor; set journal.path, or leave manualAck out',
    )
  }
  const onFull = given.queue?.onFull
  if (onFull === undefined || onFull === 'pause') return
  if (journal !== null) {
    throw wrong(
      'queue.onFull',
      `must be 'pause' with a journal, not ${show(onFull)}: events wait there, and journal.onFull says what happens when it is full`,
    )
  }
  if (cursor.core !== null) {
    throw wrong(
      'queue.onFull',
      `must be 'pause' with a cursor, not ${show(onFull)}: the cursor would pass over what was dropped`,
    )
  }
}

module.exports = { checkWithJournal, journal, manualAck }
