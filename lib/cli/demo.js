'use strict'

const { NotificationClient } = require('../client')
const { Simulator } = require('../simulator')
const { Ledger } = require('./demo-ledger')
const { NAMES, TOPICS, clientOptions, simulatorOptions, script } = require('./demo-script')
const { Timeline } = require('./demo-timeline')
const { isConfigured, readConnection, readNumber, readTopics } = require('./connection')
const { EXIT, exitCodeOf } = require('./exit')

const usage = '[options]'
const options = { seconds: { type: 'string' }, rate: { type: 'string' } }
const details = `A simulator goes through a day's trouble with time compressed: dropped sockets, a maintenance warning, an evicted
channel, a stall, a 429, refused upgrades, an expired token. The client lives through it; at the end the simulator's log
is compared with what was delivered and with the gaps that were reported. Exit code 6 if an event is unaccounted for.

With GENESYS_CLIENT_ID, GENESYS_CLIENT_SECRET, GENESYS_REGION and GENESYS_TOPICS set it listens to the real service instead.

  --seconds N         Length of the run. Default 45, at least 3; the real service: until interrupted
  --rate N            Events a second. Default 200`

/** Longest wait for the last gap to close once the traffic has stopped. */
const SETTLE_MS = 10_000

async function run({ values, signal, end, env }) {
  const timeline = new Timeline(values.json)
  if (isConfigured(env)) return listenToService({ values, signal, end, env, timeline })
  const seconds = readNumber(values, 'seconds', { min: 3, max: 86_400, fallback: 45 })
  const rate = readNumber(values, 'rate', { min: 1, max: 20_000, fallback: 200 })
  timeline.note(
    `a simulated Genesys Cloud, ${rate} events a second, ${seconds} s; set GENESYS_CLIENT_ID and others for the real one`,
  )

  const sim = await Simulator.start(simulatorOptions(seconds))
  try {
    const summary = await live({ sim, seconds, rate, signal, timeline })
    timeline.summary(summary)
    return summary.unreportedLoss === 0 ? EXIT.done : EXIT.loss
  } finally {
    await sim.stop()
  }
}

/** A client's life; resolves with what became of the events. */
async function live({ sim, seconds, rate, signal, timeline }) {
  const client = new NotificationClient({ ...clientOptions(sim, seconds), topics: NAMES })
  const ledger = new Ledger(sim, client)
  timeline.follow(client)
  try {
    await throughFaults({ sim, client, ledger, seconds, rate, signal, timeline }).catch((error) => {
      if (!signal.aborted) throw error
    })
    return ledger.summary()
  } finally {
    timeline.stop()
    await client.close()
  }
}

async function throughFaults({ sim, client, ledger, seconds, rate, signal, timeline }) {
  await client.connect({ signal })
  const traffic = sim.traffic({ ratePerSecond: rate, topics: TOPICS })
  await script({ sim, client, seconds, signal, tell: (fault) => timeline.fault(fault) })
  traffic.stop()
  sim.clearFaults()
  await ledger.settle(SETTLE_MS)
}

async function listenToService({ values, signal, end, env, timeline }) {
  const topics = readTopics(values, env, [])
  const seconds = readNumber(values, 'seconds', { min: 1, max: 2_000_000, fallback: 0 })
  timeline.note(`the real service, ${topics.length} topics${seconds > 0 ? `, ${seconds} s` : ', until interrupted'}`)
  const client = new NotificationClient({ ...readConnection(values, env), topics, signal })
  timeline.follow(client)
  if (seconds > 0) setTimeout(end, seconds * 1000).unref()
  try {
    client.connect()
    for await (const _ of client.events());
  } catch (error) {
    return exitCodeOf(error)
  } finally {
    timeline.stop()
    await client.close()
  }
  const { delivered, duplicates, gaps } = client.stats()
  // What the service sent while nobody was connected is not known to anybody here.
  timeline.summary({
    events: delivered,
    delivered,
    reportedLoss: null,
    unreportedLoss: 0,
    duplicates,
    gaps: gaps.total,
  })
  return EXIT.done
}

module.exports = { usage, options, details, run }
