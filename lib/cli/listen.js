'use strict'

const { once } = require('node:events')

const { NotificationClient } = require('../client')
const { CONNECTION, CONNECTION_HELP, readConnection, readNumber, readTopics } = require('./connection')
const { EXIT, UsageError, exitCodeOf } = require('./exit')
const { diagnose } = require('./diagnostics')

const usage = '[topics…]'
const options = { ...CONNECTION, seconds: { type: 'string' }, raw: { type: 'boolean' } }
const details = `Events go to stdout, one JSON object a line; what happens to the connection goes to stderr (with --json as JSON, too).
Ends with SIGINT, SIGTERM, after --seconds, or when retrying cannot help.

${CONNECTION_HELP}
  --seconds N         End after so long
  --raw               Print frames as the service sent them`

async function run({ values, positionals, signal, end, env }) {
  const topics = readTopics(values, env, positionals)
  if (topics.length === 0) throw new UsageError('give at least one topic, as in v2.users.<id>.presence')
  const seconds = readNumber(values, 'seconds', { min: 0, max: 2_000_000, fallback: 0 })
  const client = new NotificationClient({ ...readConnection(values, env), topics, signal })
  if (seconds > 0) setTimeout(end, seconds * 1000).unref()
  diagnose(client, values.json)
  try {
    client.connect()
    for await (const event of client.events()) {
      const line = values.raw ? event.raw : JSON.stringify(event)
      if (!process.stdout.write(`${line}\n`)) await once(process.stdout, 'drain')
    }
    return EXIT.done
  } catch (error) {
    // Told already.
    return exitCodeOf(error)
  } finally {
    await client.close()
  }
}

module.exports = { usage, options, details, run }
