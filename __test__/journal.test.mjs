import assert from 'node:assert/strict'
import { readFile, readdir, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { test } from 'node:test'

import { ConfigurationError, JournalError } from '../index.js'
import { all, journalPath, numbers, range, sequences, take } from './support/journal.mjs'
import { TOPIC, clientOf, simulator, until } from './support/world.mjs'

const publish = (sim, from, to, topic = TOPIC) => {
  for (const n of range(from, to)) sim.publish(topic, { n })
}

/** One run on a journal: connects and publishes, gives the client to `use`, closes. */
async function run(t, sim, options, use) {
  const client = clientOf(t, sim, options)
  try {
    return await use(client)
  } finally {
    await client.close()
  }
}

// P4.4, P4.5
test('what was not acknowledged is delivered again, flagged, after the gap and before what is new', async (t) => {
  const sim = await simulator(t)
  const options = { journal: { path: await journalPath(t) } }
  const lastSeen = await run(t, sim, options, async (client) => {
    await client.connect()
    publish(sim, 1, 10)
    const events = await take(client.events(), 6)
    assert.ok(events.every(({ redelivered, origin }) => redelivered === undefined && origin === 'live'))
    assert.deepEqual(numbers(events), range(1, 6))
    return events.at(-1)
  })

  await run(t, sim, options, async (client) => {
    const order = []
    client.on('gap', (gap) => order.push(gap))
    const iterator = client.events()
    const again = await take(iterator, 5)
    order.push('events')
    assert.deepEqual(numbers(again), range(6, 10))
    assert.deepEqual(sequences(again), range(lastSeen.sequence, lastSeen.sequence + 4))
    assert.ok(again.every(({ redelivered, origin }) => redelivered === true && origin === 'live'))
    assert.ok(again.every(({ channelId }) => /^earlier-\d+$/.test(channelId)))
    assert.equal(again[0].raw, lastSeen.raw)
    assert.equal(again[0].receivedAt, lastSeen.receivedAt)
    assert.equal(order[0].reason, 'process_down')
    assert.equal(order[0].to, null)
    assert.equal(order[1], 'events')

    await client.connect()
    publish(sim, 11, 12)
    const fresh = await take(iterator, 2)
    assert.deepEqual(numbers(fresh), [11, 12])
    assert.ok(fresh[0].sequence > again.at(-1).sequence)
    assert.equal(fresh[0].redelivered, undefined)
    const [down] = client.gaps()
    assert.deepEqual([down.reason, down.certainty, down.topics], ['process_down', 'certain', [TOPIC]])
    // From the last proof, less a round trip: within the heartbeat before the end.
    assert.ok(Math.abs(down.from - lastSeen.receivedAt) < 2_000 && down.to > down.from, JSON.stringify(down))
  })
})

test('gaps and topics that calls asked for are remembered', async (t) => {
  const sim = await simulator(t)
  const options = { journal: { path: await journalPath(t) } }
  const extra = 'v2.users.extra.presence'
  const before = await run(t, sim, options, async (client) => {
    await client.connect()
    await client.subscribe([extra, 'v2.users.gone.presence'])
    await client.unsubscribe('v2.users.gone.presence')
    await client.reconnect()
    return client.gaps()
  })
  assert.ok(before.length > 0)
  await run(t, sim, options, async (client) => {
    assert.deepEqual(client.topics().map(({ topic }) => topic).sort(), [extra, TOPIC].sort()) // prettier-ignore
    const ids = client.gaps().map(({ id }) => id)
    for (const { id } of before) assert.ok(ids.includes(id), id)
    await client.connect()
    await client.reconnect()
    const all = client.gaps().map(({ id }) => id)
    assert.equal(new Set(all).size, all.length)
    assert.ok(all.length > ids.length)
  })
})

test('sequences are never used again, also when everything was acknowledged', async (t) => {
  const sim = await simulator(t)
  const options = { journal: { path: await journalPath(t) } }
  const seen = []
  for (let round = 0; round < 3; round++) {
    await run(t, sim, options, async (client) => {
      client.on('event', (event) => seen.push(event))
      await client.connect()
      publish(sim, 1, 5)
      await until(() => seen.length === 5 * (round + 1))
    })
  }
  assert.ok(seen.every(({ redelivered }) => redelivered === undefined))
  assert.equal(new Set(sequences(seen)).size, 15)
  assert.deepEqual(sequences(seen), sequences(seen).toSorted((a, b) => a - b)) // prettier-ignore
})

test('listeners acknowledge by returning, batches by asking for the next', async (t) => {
  const sim = await simulator(t)
  const options = { journal: { path: await journalPath(t) } }
  await run(t, sim, options, async (client) => {
    await client.connect()
    publish(sim, 1, 10)
    const batches = client.batches({ maxEvents: 4, maxWaitMs: 20 })
    assert.deepEqual(numbers((await batches.next()).value), range(1, 4))
    assert.deepEqual(numbers((await batches.next()).value), range(5, 8))
  })
  await run(t, sim, options, async (client) => {
    const heard = []
    client.on('event', (event) => {
      heard.push(event)
      if (event.eventBody.n === 8) client.close()
    })
    await until(() => client.state === 'closed')
    assert.deepEqual(numbers(heard), range(5, 8))
  })
  await run(t, sim, options, async (client) => {
    assert.deepEqual(numbers(await take(client.events(), 2)), [9, 10])
  })
})

test('with manualAck nothing is acknowledged but by ack()', async (t) => {
  const sim = await simulator(t)
  const options = { journal: { path: await journalPath(t) }, manualAck: true }
  await run(t, sim, options, async (client) => {
    await client.connect()
    publish(sim, 1, 10)
    const events = await take(client.events(), 10)
    assert.equal(client.stats().journal.unacknowledged, 10)
    client.ack(events[2])
    await until(() => client.stats().journal.acknowledged === events[2].sequence, 'the disk')
    client.ack(events[5].sequence)
    client.ack(events[1])
    assert.throws(() => client.ack(events[9].sequence + 1), { name: 'ConfigurationError', path: 'upTo' })
    const [replayed] = await all(client.replay({ from: events[0].sequence, to: events[1].sequence }))
    assert.throws(() => client.ack(replayed), /of a replay/)
  })
  await run(t, sim, options, async (client) => {
    const [first] = await take(client.events(), 1)
    assert.equal(first.eventBody.n, 7)
  })
})

test('close() keeps what was not handed over, and with drainMs hands over what had come', async (t) => {
  const sim = await simulator(t)
  const options = { journal: { path: await journalPath(t) } }
  const read = []
  const consume = async (client) => {
    for await (const event of client.events()) read.push(event)
  }
  await run(t, sim, options, async (client) => {
    await client.connect()
    publish(sim, 1, 200)
    await until(() => client.stats().received === 200)
    const reading = consume(client)
    await client.close({ drainMs: 5_000 })
    await reading
    assert.deepEqual(numbers(read), range(1, 200))
  })
  await run(t, sim, options, async (client) => {
    assert.equal(client.stats().journal.unacknowledged, 0)
    await client.connect()
    publish(sim, 201, 220)
    await until(() => client.stats().received === 20)
    const iterator = client.events()
    await take(iterator, 3)
    await client.close()
    assert.deepEqual(await iterator.next(), { value: undefined, done: true })
  })
  await run(t, sim, options, async (client) => {
    assert.deepEqual(numbers(await take(client.events(), 18)), range(203, 220))
  })
})

test('replay() gives events once more, by sequence and by time, also while events come and after close', async (t) => {
  const sim = await simulator(t)
  const path = await journalPath(t)
  const client = clientOf(t, sim, { journal: { path } })
  const events = []
  client.on('event', (event) => events.push(event))
  await client.connect()
  publish(sim, 1, 300)
  await until(() => events.length === 300)
  await new Promise((resolve) => setTimeout(resolve, 5))
  publish(sim, 301, 600)
  await until(() => events.length === 600)
  const [first] = events

  const replayed = await all(client.replay({ from: 0 }))
  assert.deepEqual(sequences(replayed), sequences(events))
  for (const [i, event] of replayed.entries()) {
    const { origin, channelId, ...rest } = copy(event)
    const { origin: live, channelId: _, ...expected } = copy(events[i])
    assert.deepEqual([origin, live], ['replay', 'live'])
    assert.match(channelId, /^earlier-\d+$/)
    assert.deepEqual(rest, expected)
  }
  const bySequence = client.replay({ from: first.sequence + 10, to: first.sequence + 20 })
  assert.deepEqual(numbers(await all(bySequence)), range(11, 20))
  const middle = events[450].receivedAt
  const late = await all(client.replay({ from: new Date(middle) }))
  assert.deepEqual(sequences(late), sequences(events.filter(({ receivedAt }) => receivedAt >= middle)))
  const early = await all(client.replay({ from: new Date(0), to: new Date(middle) }))
  assert.equal(early.length + late.length, 600)
  assert.deepEqual(await all(client.replay({ from: new Date(Date.now() + 60_000) })), [])

  const left = client.replay({ from: 0 })
  assert.equal((await left.next()).value.sequence, first.sequence)
  assert.deepEqual(await left.return(5), { value: 5, done: true })
  assert.deepEqual(await left.next(), { value: undefined, done: true })

  await client.close()
  assert.equal((await all(client.replay({ from: 0 }))).length, 600)
  const wrong = [
    [undefined, ''],
    [{}, 'from'],
    [{ from: 'now' }, 'from'],
    [{ from: new Date(NaN) }, 'from'],
    [{ from: -1 }, 'from'],
    [{ from: 1.5 }, 'from'],
    [{ from: Date.now() }, 'from'],
    [{ from: 5, to: 4 }, 'to'],
    [{ from: new Date(5), to: new Date(4) }, 'to'],
    [{ from: 5, until: 6 }, 'until'],
  ]
  for (const [range, path] of wrong) {
    assert.throws(
      () => client.replay(range),
      (error) => error instanceof ConfigurationError && (path === '' ? error.path === 'from' : error.path === path),
      JSON.stringify(range),
    )
  }
})

const copy = ({ topicName, eventBody, metadata, version, raw, sequence, receivedAt, origin, channelId }) => ({
  topicName,
  eventBody,
  metadata,
  version,
  raw,
  sequence,
  receivedAt,
  origin,
  channelId,
})

test('a second client on the same journal is refused, and says who has it', async (t) => {
  const sim = await simulator(t)
  const options = { journal: { path: await journalPath(t) } }
  await run(t, sim, options, async () => {
    assert.throws(
      () => clientOf(t, sim, options),
      (error) => {
        assert.ok(error instanceof ConfigurationError)
        assert.equal(error.path, 'journal.path')
        assert.match(error.message, new RegExp(`process ${process.pid}`))
        return true
      },
    )
  })
  await run(t, sim, options, async (client) => assert.equal(client.state, 'idle'))
})

test('the files are for their owner only, and hold no secret', { skip: process.platform === 'win32' }, async (t) => {
  const sim = await simulator(t)
  const path = await journalPath(t)
  await run(t, sim, { journal: { path } }, async (client) => {
    client.on('event', () => {})
    await client.connect()
    publish(sim, 1, 50)
    await client.rotate()
    await until(() => client.stats().delivered === 50)
    const secrets = [sim.credentials.clientSecret, ...sim.channels().flatMap(({ id, token }) => [id, token])]
    const folder = dirname(path)
    assert.equal((await stat(folder)).mode & 0o777, 0o700)
    const names = await readdir(folder)
    assert.ok(names.length > 0)
    for (const name of names) {
      assert.equal((await stat(join(folder, name))).mode & 0o777, 0o600, name)
      const content = await readFile(join(folder, name), 'latin1')
      for (const secret of secrets) assert.ok(!content.includes(secret), `${name} holds a secret`)
    }
  })
})

const FILLING = { padding: 'x'.repeat(100_000) }

test('a full journal stops reading, evicts or fails, as its option says', { timeout: 60_000 }, async (t) => {
  const sim = await simulator(t)
  const small = async (onFull) => ({
    journal: { path: await journalPath(t), maxBytes: 1_048_576, onFull },
    manualAck: true,
    queue: { maxEvents: 5 },
    heartbeat: { silenceMs: 20_000 },
  })
  const fill = (client, count, until_) => {
    let n = 0
    const timer = setInterval(() => n < count && sim.publish(TOPIC, { n: n++, ...FILLING }), 5)
    t.after(() => clearInterval(timer))
    return until(until_, `${n} published`, 20_000).finally(() => clearInterval(timer))
  }

  await run(t, sim, await small('pause'), async (client) => {
    await client.connect()
    await fill(client, 40, () => client.stats().queue.paused)
    const health = client.health()
    assert.equal(health.status, 'degraded')
    assert.match(health.reasons.join(), /journal takes no more/)
    const reading = (async () => {
      for await (const event of client.events()) client.ack(event)
    })()
    await until(() => !client.stats().queue.paused, 'room', 20_000)
    await client.close()
    await reading
    assert.ok(client.gaps().every(({ reason }) => reason !== 'journal_full'))
  })

  await run(t, sim, await small('evictOldest'), async (client) => {
    await client.connect()
    await fill(client, 60, () => client.stats().journal.evicted > 0)
    const gap = await until(() => client.gaps().find(({ reason }) => reason === 'journal_full'))
    assert.deepEqual([gap.topics, gap.certainty], [[TOPIC], 'certain'])
    assert.match(client.metrics(), /^genesys_notifications_journal_evicted_total [1-9]/m)
  })

  await run(t, sim, await small('fail'), async (client) => {
    const errors = []
    client.on('error', (error) => errors.push(error))
    await client.connect()
    await fill(client, 60, () => client.state === 'failed')
    const error = errors.find(({ code }) => code === 'JOURNAL_FULL')
    assert.ok(error instanceof JournalError)
  })
})

test('what is no journal is refused and left alone', async (t) => {
  const sim = await simulator(t)
  const path = join(dirname(dirname(await journalPath(t))), 'notes.txt')
  await writeFile(path, 'not a database, whatever its name is\n'.repeat(100))
  assert.throws(
    () => clientOf(t, sim, { journal: { path } }),
    (error) => error.path === 'journal.path' && /not a journal/.test(error.message),
  )
  assert.match(await readFile(path, 'utf8'), /^not a database/)
  assert.throws(
    () => clientOf(t, sim, { journal: { path: dirname(path) } }),
    (error) => error.path === 'journal.path',
  )
})
