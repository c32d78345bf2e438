'use strict'

const { NotificationClient } = require('../client')
const { CONNECTION, CONNECTION_HELP, readConnection, readNumber, readTopics } = require('./connection')
const { EXIT, exitCodeOf, explain } = require('./exit')

const usage = '[topics…]'
const options = { ...CONNECTION, seconds: { type: 'string' }, journal: { type: 'string' } }
const details = `Goes through a connection stage by stage with a client of its own: options, token, channel, topics, socket (open and
answering a ping). Stops at the first stage that fails and says what may help. It creates one channel, of the 20 that a
client may have. Without topics it stops after the token.

${CONNECTION_HELP}
  --seconds N         Give up after so long. Default 30
  --journal FILE      Try this journal, too: writable, on a local disk, not in use. Made if there is none; nothing is
                      taken from it`

/** Later stages imply earlier ones; each is read from the figures of the client. */
const STAGES = [
  ['token', 'login host reached, credentials accepted', (stats) => stats.tokenExpiresInMs !== null],
  [
    'channel',
    'API host reached, channel created',
    (stats) => stats.channels.some((channel) => channel.expiresInMs !== null),
  ],
  ['topics', 'every topic decided', (stats) => stats.topics.pending === 0],
  ['socket', 'streaming host reached, socket open, pong received', (stats) => stats.state === 'connected'],
]
const POLL_MS = 25

async function run({ values, positionals, signal, end, env }) {
  const report = reporter(values.json)
  const seconds = readNumber(values, 'seconds', { min: 1, max: 3_600, fallback: 30 })
  const topics = readTopics(values, env, positionals)
  const connection = readConnection(values, env)
  const client = open({ ...connection, topics, signal }, report)
  if (client === undefined) return report.end(EXIT.usage)
  if (values.journal !== undefined && !(await tryJournal(connection, values.journal, report))) {
    await client.close()
    return report.end(EXIT.usage)
  }
  setTimeout(end, seconds * 1000).unref()
  try {
    return report.end(await examine(client, topics.length > 0 ? STAGES : STAGES.slice(0, 1), signal, report))
  } finally {
    await client.close()
  }
}

function open(options, report) {
  try {
    const client = new NotificationClient(options)
    report.ok('options', 'region and credentials are well formed')
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
    while (!isReached(client.stats())) {
      const { state } = client
      if (state === 'failed' || signal.aborted || isFinal(last)) break
      await new Promise((resolve) => setTimeout(resolve, POLL_MS))
    }
    if (!isReached(client.stats())) {
      report.failed(name, last)
      return last === undefined ? EXIT.network : exitCodeOf(last)
    }
    report.ok(name, words, Date.now() - begin)
  }
  const rejected = client.topics().filter(({ state }) => state === 'rejected')
  for (const topic of rejected) report.rejected(topic)
  return rejected.length > 0 ? EXIT.permission : EXIT.done
}

/** A certificate that is not trusted now will not be in a few seconds either. */
function isFinal(error) {
  return error !== undefined && (!error.retryable || error.code === 'TLS_ERROR')
}

function reporter(asJson) {
  const write = (line, text) => process.stdout.write(`${asJson ? JSON.stringify(line) : text}\n`)
  return {
    ok(step, detail, ms) {
      write(
        { step, ok: true, detail, ms },
        `ok      ${step.padEnd(8)} ${detail}${ms === undefined ? '' : ` (${ms} ms)`}`,
      )
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
