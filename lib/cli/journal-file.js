'use strict'

const { statSync } = require('node:fs')

const { UsageError } = require('./exit')

/** The one journal of a command line, which must exist. */
function readJournalPath(positionals) {
  const [path, ...more] = positionals
  if (path === undefined) throw new UsageError('give the path of a journal')
  if (more.length > 0) throw new UsageError(`one journal at a time; "${more[0]}" is one too many`)
  const file = statSync(path, { throwIfNoEntry: false })
  if (file === undefined) throw new UsageError(`there is no journal at "${path}"`)
  if (!file.isFile()) throw new UsageError(`"${path}" is not a file`)
  return path
}

module.exports = { readJournalPath }
