'use strict'

const { readFileSync } = require('node:fs')

const { UsageError } = require('./exit')

/** The `DirectEndpoint` in a JSON file; undefined without a file. What is in it may be secret, and is not repeated. */
function readEndpoint(path) {
  if (path === undefined) return undefined
  const text = readText(path)
  try {
    return JSON.parse(text)
  } catch (error) {
    // The parser's own words quote the text.
    const at = /position (\d+)/.exec(error.message)
    throw new UsageError(`--endpoint: "${path}" is not JSON${at === null ? '' : ` (${place(text, Number(at[1]))})`}`)
  }
}

function readText(path) {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw new UsageError(`--endpoint: ${error.message}`)
  }
}

function place(text, position) {
  const lines = text.slice(0, position).split('\n')
  return `line ${lines.length}, column ${lines.at(-1).length + 1}`
}

module.exports = { readEndpoint }
