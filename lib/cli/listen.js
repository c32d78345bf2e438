'use strict'

const { NotificationClient } = require('../client')
const { CONNECTION, CONNECTION_HELP, readConnection, readNumber, readTopics } = require('./connection')
const { readEndpoint } = require('./endpoint-file')
const { EXIT, UsageError, exitCodeOf } = require('./exit')
const { diagnose } = require('./diagnostics')
const { writeLines } = require('./lines')

const usage = '[topics…]'
const options = {
  ...CONNECTION,
  seconds: { type: 'string' },
  raw: { type: 'boolean' },
  journal: { type: 'string' },
  standby: { type: 'boolean' },
  backfill: { type: 'boolean' },
  endpoint: { type: 'string' },
  cursor: { type: 'string' },
}
const details = `Events go to stdout, one JSON object a line; what happens to the connection goes to stderr (with --json as JSON, too).
Ends with SIGINT, SIGTERM, after --seconds, or when retrying cannot help.

${CONNECTION_HELP}
  --seconds N         End after so long
  --raw               Print frames as the service sent them
  --journal FILE      Keep events in a file until their lines have left this process: after a crash they are printed again
                      (redelivered). See the commands replay and report
  --standby           Two live channels for each topic: the loss of one costs nothing
  --backfill          Fill gaps from the REST API, as far as it goes
  --endpoint FILE     Listen to a gateway or another server that authenticates on the socket: a JSON file with a
                      DirectEndpoint, as in {"url":"wss://gateway.example.com/events","auth":"query"}. This is not
                      Genesys Cloud's own protocol. Topics may be left out; credentials are needed unless "auth" is
                      "none", and --login-url without --api-url is enough
  --cursor FILE       With an endpoint that has "resume": keep the position of the last printed event, and go on there`

/** Longest wait for what has arrived to be printed, once the end has come. */
const DRAIN_MS = 2_000

async function run({ values, positionals, signal, end, env }) {
  const endpoint = readEndpoint(values.endpoint)
  const topics = readTopics(values, env, positionals)
  if (topics.length === 0 && endpoint === undefined)
    throw new UsageError('give at least one topic, as in v2.users.<id>.presence')
  const seconds = readNumber(values, 'seconds', { min: 0, max: 2_000_000, fallback: 0 })
  const connection = readConnection(values, env, endpoint)
  const client = new NotificationClient({ ...connection, ...readContinuity(values), endpoint, topics })
  // What has arrived is printed, and acknowledged if there is a journal or a cursor.
  signal.addEventListener('abort', () => client.close({ drainMs: DRAIN_MS }), { once: true })
  if (seconds > 0) setTimeout(end, seconds * 1000).unref()
  diagnose(client, values.json)
  try {
    client.connect()
    // Asking for the next batch acknowledges the last, which has been written by then.
    for await (const batch of client.batches()) {
      await writeLines(batch.map((event) => (values.raw ? event.raw : JSON.stringify(event))))
    }
    return EXIT.done
  } catch (error) {
    // Told already.
    return exitCodeOf(error)
  } finally {
    await client.close()
  }
}

function readContinuity({ journal, cursor, standby, backfill }) {
  return {
    journal: journal === undefined ? undefined : { path: journal },
    cursor: cursor === undefined ? undefined : { path: cursor },
    continuity: standby ? 'standby' : undefined,
    backfill,
  }
}

module.exports = { usage, options, details, run }
