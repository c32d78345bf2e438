'use strict'

const { native } = require('./border')
const { group, show, wrong } = require('./check')
const { JournalError, describe } = require('./errors')
const { NotificationEvent } = require('./event')
const { NativeReplay } = require('./native')
const { COLUMNS, Slice } = require('./slice')

/** One page. A single larger event still comes whole. */
const PAGE_EVENTS = 256
const PAGE_BYTES = 65_536
/** A thousand events a second for thirty years: what is more is a time that should have been a Date. */
const HIGHEST_SEQUENCE = 1e12

const readBounds = group({ from: bound, to: bound })

/** The events of a client's journal as they were received. Checked now, opened when the first is asked for. */
function replay(path, options) {
  if (path === undefined)
    throw wrong('journal', 'replay() reads the journal, and this client has none; set journal.path')
  return eventsOf(path, readRange(options))
}

/** `{ from, to }`, each `{ isTime, at }`; `to` may be absent. */
function readRange(options) {
  const { from, to } = readBounds(options, '')
  if (from === undefined) throw wrong('from', 'is required: a Date, or the sequence of an event')
  if (to !== undefined && from.isTime === to.isTime && to.at < from.at) throw wrong('to', 'must not lie before `from`')
  return { from, to }
}

function bound(value, path) {
  if (value === undefined) return undefined
  if (value instanceof Date) {
    const at = value.getTime()
    if (!(at >= 0)) throw wrong(path, `must be a valid Date after 1970, not ${show(String(value))}`)
    return { isTime: true, at }
  }
  if (typeof value !== 'number') throw wrong(path, `must be a Date or a sequence, not ${show(value)}`)
  if (!Number.isSafeInteger(value) || value < 0) {
    throw wrong(path, `must be a sequence, a whole number from 0, not ${show(value)}`)
  }
  if (value > HIGHEST_SEQUENCE) throw wrong(path, `${value} is no sequence; for a time give new Date(${value})`)
  return { isTime: false, at: value }
}

/** Reads on a thread of the pool, a page at a time, and no page before it is asked for. */
async function* eventsOf(path, { from, to }) {
  const reader = native(() => new NativeReplay(path, from, to))
  const names = []
  try {
    for (;;) {
      const page = await read(reader)
      names.push(...page.names)
      const slice = new Slice(page.text, page.rows, 0, names)
      for (let at = COLUMNS; at < page.rows.length; at += COLUMNS) yield new NotificationEvent(slice, at)
      if (page.isLast) return
    }
  } finally {
    reader.release()
  }
}

async function read(reader) {
  try {
    return await reader.page(PAGE_EVENTS, PAGE_BYTES)
  } catch (cause) {
    throw new JournalError(describe(cause), { code: 'JOURNAL_FAILED' })
  }
}

module.exports = { eventsOf, readRange, replay }
