'use strict'

const { group, number, requireObject, texts, wrong } = require('./check')

const readConflate = group({ maxPerSecond: number({ min: 0.01, max: 1_000, integer: false }) })
const read = group({ select: texts({ of: 'paths' }), conflate })

function conflate(value, path) {
  if (value === undefined) return undefined
  const given = readConflate(requireObject(value, path), path)
  if (given.maxPerSecond === undefined)
    throw wrong(`${path}.maxPerSecond`, 'is required: a number of events per second')
  return given
}

/**
 * What is to be done to the events of topics, as JSON for the native side; nothing if nothing was said of it. `keeper` is the word
 * for what promises every event, if something does.
 */
function topicOptions(value, path, keeper) {
  if (value === undefined) return undefined
  const options = read(value, path)
  if (keeper !== undefined && options.conflate !== undefined) {
    throw wrong('conflate', `cannot be had with a ${keeper}, which promises every event`)
  }
  return JSON.stringify(options)
}

module.exports = { topicOptions }
