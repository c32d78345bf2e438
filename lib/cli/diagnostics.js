'use strict'

const { explain } = require('./exit')

/** Writes what happens to a client to stderr: for people, or as JSON lines. */
function diagnose(client, asJson) {
  const write = asJson
    ? (type, value) => process.stderr.write(`${JSON.stringify({ at: Date.now(), type, value })}\n`)
    : (type, value) => process.stderr.write(`${new Date().toISOString()} ${WORDS[type](value)}\n`)
  for (const type of Object.keys(WORDS)) client.on(type, (value) => write(type, value))
}

const WORDS = { state, gap, topic, error: (error) => `error ${explain(error)}` }

function state({ state, reason, attempt, retryInMs, outageMs, error }) {
  const parts = [`${state} (${reason})`]
  if (attempt > 0) parts.push(`attempt ${attempt}`)
  if (retryInMs !== undefined) parts.push(`next in ${retryInMs} ms`)
  if (outageMs) parts.push(`out for ${outageMs} ms`)
  if (error) parts.push(error.code)
  return parts.join(', ')
}

function gap({ id, from, to, reason, topics, certainty, backfilled }) {
  const what = `${topics.length} ${topics.length === 1 ? 'topic' : 'topics'}, ${reason}, ${certainty}`
  const filled = { no: '', partial: ', filled in part', yes: ', filled' }[backfilled]
  return to === null ? `${id} opened: ${what}` : `${id} closed after ${to - from} ms: ${what}${filled}`
}

function topic({ topic, state, reason, missingPermissions }) {
  const missing = missingPermissions?.length ? `, missing ${missingPermissions.join(', ')}` : ''
  return `topic ${topic} ${state}${reason ? `: ${reason}` : ''}${missing}`
}

module.exports = { diagnose, WORDS }
