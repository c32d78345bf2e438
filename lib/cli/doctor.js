'use strict'

const { NotificationClient } = require('../client')
const { CONNECTION, CONNECTION_HELP, readConnection, readNumber, readTopics } = require('./connection')
const { channelStages, endpointStages } = require('./doctor-stages')
const { readEndpoint } = require('./endpoint-file')
const { EXIT, exitCodeOf, explain } = require('./exit')

const usage = '[topics…]'
const options = {
  ...CONNECTION,
  seconds: { type: 'string' },
  journal: { type: 'string' },
  endpoint: { type: 'string' },
}
const details = `Goes through a connection stage by stage with a client of its own: options, token, channel, topics, socket (open and
answering a ping). Stops at the first stage that fails and says what may help. It creates one channel, of the 20 that a
client may have. Without topics it stops after the token.

${CONNECTION_HELP}
  --seconds N         Give up after so long. Default 30
  --journal FILE      Try this journal, too: writable, on a local disk, not in use. Made if there is none; nothing is
                      taken from it
  --endpoint FILE     Try a direct endpoint instead (see listen): token, socket, ready, topics, pong, and whether an event
                      comes within 10 s, which is no failure if none does`

const POLL_MS = 25
/** How long an event is waited for. */
const EVENT_MS = 10_000

async function run({ values, positionals, signal, end, env }) {
  const report = reporter(values.json)
  const seconds = readNumber(values, 'seconds', { min: 1, max: 3_600, fallback: 30 })
  const endpoint = readEndpoint(values.endpoint)
  const topics = readTopics(values, env, positionals)
  const connection = { ...readConnection(values, env, endpoint), endpoint }
  const client = open({ ...connection, topics, signal }, report)
  if (client === undefined) return report.end(EXIT.usage)
  if (values.journal !== undefined && !(await tryJournal(connection, values.journal, report))) {
    await client.close()
    return report.end(EXIT.usage)
  }
  setTimeout(end, seconds * 1000).unref()
  const stages = endpoint === undefined ? channelStages(topics) : endpointStages(endpoint, topics)
  try {
    const code = await examine(client, stages, signal, report)
    if (code === EXIT.done && endpoint !== undefined) await awaitEvent(client, signal, report)
    return report.end(code)
  } finally {
    await client.close()
  }
}

function open(options, report) {
  try {
    const client = new NotificationClient(options)
    report.ok('options', 'well formed')
    return client
  } catch (error) {
    report.failed('options', error)
    return undefined
  }
}

/** With a client that never connects: the journal of a real one is left as it is. */
async function tryJournal(connection, path, report) {
  try {
    await new NotificationClient({ ...connection, journal: { path } }).close()
    report.ok('journal', 'writable, local, not in use')
    return true
  } catch (error) {
    report.failed('journal', error)
    return false
  }
}

async function examine(client, stages, signal, report) {
  let last
  client.on('error', (error) => (last = error))
  client.on('state', ({ error }) => (last = error ?? last))
  client.connect()
  for (const [name, words, isReached] of stages) {
    const begin = Date.now()
    while (!isReached(client.stats(), last)) {
      const { state } = client
      if (state === 'failed' || signal.aborted || isFinal(last)) break
      await poll()
    }
    if (!isReached(client.stats(), last)) {
      report.failed(name, last)
      return last === undefined ? EXIT.network : exitCodeOf(last)
    }
    report.ok(name, words, Date.now() - begin)
  }
  const rejected = client.topics().filter(({ state }) => state === 'rejected')
  for (const topic of rejected) report.rejected(topic)
  return rejected.length > 0 ? EXIT.permission : EXIT.done
}

/** What is so now will not be otherwise in a few seconds. */
function isFinal(error) {
  return error !== undefined && (!error.retryable || ['TLS_ERROR', 'NOT_READY'].includes(error.code))
}

/** A quiet server is no failure, but may be one that says what nobody understands. */
async function awaitEvent(client, signal, report) {
  const begin = Date.now()
  while (client.stats().received === 0 && Date.now() - begin < EVENT_MS && !signal.aborted) await poll()
  const ms = Date.now() - begin
  if (client.stats().received > 0) report.ok('event', 'the first one came', ms)
  else report.none('event', QUIET, ms)
}

const QUIET = 'none came: the server had none, or endpoint.event does not point at them'

const poll = () => new Promise((resolve) => setTimeout(resolve, POLL_MS))

function reporter(asJson) {
  const write = (line, text) => process.stdout.write(`${asJson ? JSON.stringify(line) : text}\n`)
  return {
    ok(step, detail, ms) {
      write(
        { step, ok: true, detail, ms },
        `ok      ${step.padEnd(8)} ${detail}${ms === undefined ? '' : ` (${ms} ms)`}`,
      )
    },
    none(step, detail, ms) {
      write({ step, ok: null, detail, ms }, `-       ${step.padEnd(8)} ${detail} (${ms} ms)`)
    },
    failed(step, error) {
      const text = error ? explain(error) : 'no answer in time'
      write({ step, ok: false, error: error ?? { message: text } }, `FAILED  ${step.padEnd(8)} ${text}`)
    },
    rejected({ topic, reason, missingPermissions }) {
      const missing = missingPermissions?.length ? `; missing: ${missingPermissions.join(', ')}` : ''
      write(
        { step: 'topic', ok: false, topic, reason, missingPermissions },
        `FAILED  topic    ${topic}: ${reason}${missing}`,
      )
    },
    end(code) {
      if (asJson) write({ exitCode: code })
      return code
    },
  }
}

module.exports = { usage, options, details, run }
