'use strict'

const { STATES } = require('./health')

/** name, type, help, and how to read it from `stats()`; null is left out. */
const METRICS = [
  ['events_delivered_total', 'counter', 'Events handed to listeners and iterators.', (s) => s.delivered],
  ['events_received_total', 'counter', 'Events taken from the service, copies left out.', (s) => s.received],
  ['events_duplicate_total', 'counter', 'Copies recognised and not delivered.', (s) => s.duplicates],
  ['events_dropped_total', 'counter', 'Events dropped because the queue was full.', (s) => s.dropped],
  ['events_filtered_total', 'counter', 'Events that delivery.topics kept back.', (s) => s.filtered],
  ['events_conflated_total', 'counter', 'Events in whose place a later one came.', (s) => s.conflated],
  ['gaps_total', 'counter', 'Gaps recorded, open ones included.', (s) => s.gaps.total],
  ['gaps_open', 'gauge', 'Gaps that are open now.', (s) => s.gaps.open],
  ['gaps_closed_seconds_total', 'counter', 'Length of all closed gaps.', (s) => s.gaps.closedMs / 1000],
  ['connection_drops_total', 'counter', 'Live sockets that were lost.', (s) => s.drops],
  ['rotations_total', 'counter', 'Channels replaced by overlap.', (s) => s.rotations],
  ['token_requests_total', 'counter', 'Token requests started.', (s) => s.tokenRequests],
  ['channel_creations_total', 'counter', 'Channel creations started.', (s) => s.channelCreations],
  ['subscription_requests_total', 'counter', 'Subscription requests started.', (s) => s.subscriptionRequests],
  ['unreadable_frames_total', 'counter', 'Frames that could not be read.', (s) => s.unreadable],
  ['attempt', 'gauge', 'Attempts since the last healthy period; 0 when connected.', (s) => s.attempt],
  [
    'last_frame_age_seconds',
    'gauge',
    'Age of the youngest frame of the most silent socket.',
    (s) => seconds(s.lastFrameAgeMs),
  ],
  ['token_expires_seconds', 'gauge', 'Time until the token in use ends.', (s) => seconds(s.tokenExpiresInMs)],
  ['queue_events', 'gauge', 'Events waiting for consumers.', (s) => s.queue.events],
  ['queue_bytes', 'gauge', 'Their bytes.', (s) => s.queue.bytes],
  ['queue_paused', 'gauge', '1 while sockets are not read because the queue is full.', (s) => Number(s.queue.paused)],
  ['channels', 'gauge', 'Channels in use.', (s) => s.channels.length],
  ['topics_wanted', 'gauge', 'Topics asked for.', (s) => s.topics.wanted],
  ['topics_subscribed', 'gauge', 'Topics confirmed.', (s) => s.topics.subscribed],
  ['topics_rejected', 'gauge', 'Topics refused.', (s) => s.topics.rejected],
  ['standby_live', 'gauge', 'Shards whose second channel is live.', (s) => s.standbyLive],
  ['events_single_sided_total', 'counter', 'Events that only one of two channels brought.', (s) => s.singleSided],
  ['audits_total', 'counter', 'Times subscriptions were read back.', (s) => s.audits],
  ['audit_mismatches_total', 'counter', 'Times topics were missing there.', (s) => s.auditMismatches],
  ['channels_in_use', 'gauge', 'Channels of this client and user, when last counted.', (s) => s.channelsInUse],
  ['journal_events', 'gauge', 'Events on disk.', (s) => s.journal?.events],
  ['journal_unacknowledged', 'gauge', 'Events on disk that were not acknowledged.', (s) => s.journal?.unacknowledged],
  ['journal_bytes', 'gauge', 'Bytes of the journal in use.', (s) => s.journal?.bytes],
  ['journal_waiting_bytes', 'gauge', 'Bytes that wait for the disk.', (s) => s.journal?.waiting],
  ['journal_commits_total', 'counter', 'Commits.', (s) => s.journal?.commits],
  ['journal_evicted_total', 'counter', 'Events evicted before they were acknowledged.', (s) => s.journal?.evicted],
  ['journal_last_commit_seconds', 'gauge', 'Length of the last commit.', (s) => seconds(s.journal?.lastCommitMs)],
  ['direct_resumed_total', 'counter', 'Outages without loss: the stream was resumed.', (s) => s.direct?.resumed],
  ['direct_repositions_total', 'counter', 'Positions that the endpoint refused.', (s) => s.direct?.repositions],
  ['cursor_saves_total', 'counter', 'Saves of the cursor.', (s) => s.cursor?.saves],
  ['cursor_failures_total', 'counter', 'Saves of the cursor that failed.', (s) => s.cursor?.failures],
  ['cursor_saved_age_seconds', 'gauge', 'Time since the cursor was saved.', (s) => age(s.cursor?.savedAt)],
]

function seconds(ms) {
  return ms === null || ms === undefined ? null : ms / 1000
}

function age(at) {
  return at === null || at === undefined ? null : Math.max(0, Date.now() - at) / 1000
}

/** Prometheus text exposition format 0.0.4. */
function metrics(client) {
  const stats = client.stats()
  const lines = []
  const add = (name, type, help, samples) => {
    lines.push(`# HELP genesys_notifications_${name} ${help}`, `# TYPE genesys_notifications_${name} ${type}`)
    for (const [labels, value] of samples) lines.push(`genesys_notifications_${name}${labels} ${value}`)
  }
  const ofState = STATES.map((state) => [`{state="${state}"}`, Number(state === stats.state)])
  add('state', 'gauge', '1 for the state the client is in.', ofState)
  for (const [name, type, help, read] of METRICS) {
    const value = read(stats)
    if (value !== null && value !== undefined) add(name, type, help, [['', value]])
  }
  const { p50, p99 } = stats.latency
  if (p50 !== null) {
    const samples = [
      ['{quantile="0.5"}', p50 / 1000],
      ['{quantile="0.99"}', p99 / 1000],
    ]
    add('delivery_latency_seconds', 'gauge', 'From the socket to the consumer, last one to two minutes.', samples)
  }
  if (stats.skew !== null) {
    const samples = [
      ['{quantile="0.5"}', stats.skew.p50Ms / 1000],
      ['{quantile="0.99"}', stats.skew.p99Ms / 1000],
      ['{quantile="0.999"}', stats.skew.p999Ms / 1000],
    ]
    add('copy_skew_seconds', 'gauge', 'How far apart the copies of two channels came.', samples)
  }
  const filled = Object.entries(stats.gaps.kept).map(([how, count]) => [`{backfilled="${how}"}`, count])
  add('gaps_kept', 'gauge', 'The last closed gaps, at most 1000, by how far they were filled.', filled)
  return `${lines.join('\n')}\n`
}

module.exports = { metrics }
