'use strict'

const { JournalError, describe } = require('../errors')
const { journalReport } = require('../native')
const { EXIT, UsageError } = require('./exit')
const { readJournalPath } = require('./journal-file')

const usage = '<journal> [options]'
const options = { svg: { type: 'boolean' } }
const details = `Prints the continuity report of a journal: per topic, connected time and gaps, which together are all the time since it
was first live; and what happened to channels, rotations and tokens. Works while a client writes the journal.

Exit code 6 if there are gaps or evicted events, 0 if there are none.

  --svg               A timeline: one band per channel, gaps, rotations, renewals`

async function run({ values, positionals }) {
  const path = readJournalPath(positionals)
  if (values.json && values.svg) throw new UsageError('--json or --svg, not both')
  const report = await read(path)
  const text = values.json ? report.json : values.svg ? report.svg : report.text
  process.stdout.write(text.endsWith('\n') ? text : `${text}\n`)
  return hasLoss(JSON.parse(report.json)) ? EXIT.loss : EXIT.done
}

async function read(path) {
  try {
    return await journalReport(path)
  } catch (cause) {
    throw new JournalError(describe(cause), { code: 'JOURNAL_FAILED' })
  }
}

function hasLoss({ totals }) {
  return totals.gaps > 0 || totals.evicted > 0
}

module.exports = { usage, options, details, run }
