import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

import { QUICK, sentAt, simulator, until } from './support/world.mjs'

const CHILD = fileURLToPath(new URL('./support/kill-child.mjs', import.meta.url))
const KILLS = 100
const LANES = 2
/** Half of the processes die at random within this time of their start, half within the other of being connected. */
const START_MS = 500
const CONNECTED_MS = 250

/** What all processes on one journal have said, and what must hold for each of them. */
class Ledger {
  /** The number of the event, by sequence. */
  known = new Map()
  acked = 0
  committed = 0
  redelivered = 0

  begin() {
    this.run = { delivered: [], knownBefore: new Map(this.known), ackedBefore: this.acked, before: this.committed }
  }

  hear(line) {
    const [what, ...words] = line.split(' ')
    const [sequence, n, again] = words.map(Number)
    if (what === 'a') this.acked = Math.max(this.acked, sequence)
    if (what === 'c') this.committed = Math.max(this.committed, sequence)
    if (what === 'e') this.#delivered(sequence, n, again === 1)
  }

  #delivered(sequence, n, again) {
    const { delivered, knownBefore, before } = this.run
    assert.ok(sequence > (delivered.at(-1) ?? 0), `${sequence} after ${delivered.at(-1)}`)
    // I1, I4: what was acknowledged before the last commit does not come again.
    assert.ok(sequence > before, `${sequence} again, although ${before} was acknowledged and committed`)
    if (this.known.has(sequence)) assert.equal(this.known.get(sequence), n, `sequence ${sequence} was used twice`)
    if (knownBefore.has(sequence)) assert.ok(again, `${sequence} was delivered before, and is not flagged`)
    if (again) this.redelivered++
    delivered.push(sequence)
    this.known.set(sequence, n)
  }

  /** What was delivered and not acknowledged came first, and all of it as far as this process came. */
  end() {
    const { delivered, knownBefore, ackedBefore } = this.run
    const owed = [...knownBefore.keys()].filter((sequence) => sequence > ackedBefore)
    const come = new Set(delivered)
    const reach = delivered.at(-1) ?? 0
    const missing = owed.filter((sequence) => sequence <= reach && !come.has(sequence))
    assert.deepEqual(missing, [], `delivered before and not acknowledged, but not delivered again`)
  }
}

// P4, C1, I1, I2, I4
test(`after each of ${KILLS} kills everything that was not acknowledged is delivered again`, async (t) => {
  const seed = Number(process.env.KILL_SEED ?? Date.now() % 100_000)
  t.diagnostic(`KILL_SEED=${seed}`)
  const folder = await mkdtemp(join(tmpdir(), 'kill-'))
  t.after(() => rm(folder, { recursive: true }))
  const sim = await simulator(t)
  const lanes = await Promise.all(
    Array.from({ length: LANES }, (_, i) => {
      const random = generator(seed + i)
      return live(t, sim, { folder, random, topic: `v2.users.u${i}.presence`, manualAck: i % 2 === 0 })
    }),
  )
  const total = { kills: 0, published: 0, delivered: 0, redelivered: 0, gaps: 0 }
  for (const lane of lanes) for (const name of Object.keys(total)) total[name] += lane[name]
  t.diagnostic(Object.entries(total).map(([name, value]) => `${value} ${name}`).join(', ')) // prettier-ignore
  assert.equal(total.kills, KILLS)
  assert.ok(total.redelivered > 0)
})

async function live(t, sim, { folder, random, topic, manualAck }) {
  const options = {
    region: sim.urls,
    credentials: sim.credentials,
    topics: [topic],
    ...QUICK,
    journal: { path: join(folder, `${topic}.db`) },
    manualAck,
  }
  const ledger = new Ledger()
  const start = (last) => startChild(t, ledger, { options, every: 25, last })

  // Coverage begins with the first connection: events from before it are nobody's.
  const first = start(false)
  await until(() => first.said.has('l'), 'the first connection')
  let n = 0
  const publishing = setInterval(() => sim.publish(topic, { n: n++ }), 4)
  t.after(() => clearInterval(publishing))
  await until(() => first.said.has('a'), 'the first acknowledgement')
  await first.kill()

  let kills = 1
  while (kills < KILLS / LANES) {
    const child = start(false)
    const dieConnected = random() < 0.5
    if (dieConnected) await until(() => child.said.has('l'), 'connected again')
    await new Promise((resolve) => setTimeout(resolve, random() * (dieConnected ? CONNECTED_MS : START_MS)))
    await child.kill()
    kills++
  }
  clearInterval(publishing)

  const child = start(true)
  await until(() => child.said.has('d') || child.hasEnded(), 'everything is acknowledged', 30_000)
  await until(() => child.hasEnded(), 'the last process ends by itself')
  assert.deepEqual(await child.ended, [0, null], child.errors())
  ledger.end()

  const gaps = await gapsOf(options)
  const delivered = new Set(ledger.known.values())
  assert.equal(delivered.size, ledger.known.size, 'an event has two sequences')
  const { events } = sim.log()
  const mine = events.filter((event) => event.topic === topic)
  // The n-th event of a topic in the log is the n-th published.
  const lost = mine.filter((_, number) => !delivered.has(number))
  const unreported = lost.filter(
    (event) =>
      !gaps.some(({ from, to, topics }) => from <= sentAt(event) && sentAt(event) <= to && topics.includes(topic)),
  )
  assert.deepEqual(unreported, [], `${lost.length} lost`)
  return {
    kills,
    published: mine.length,
    delivered: delivered.size,
    redelivered: ledger.redelivered,
    gaps: gaps.length,
  }
}

function startChild(t, ledger, config) {
  ledger.begin()
  const child = spawn(process.execPath, [CHILD, JSON.stringify(config)], { stdio: ['ignore', 'pipe', 'pipe'] })
  t.after(() => child.kill('SIGKILL'))
  const said = new Set()
  let errors = ''
  let failure
  child.stderr.on('data', (chunk) => (errors += chunk))
  createInterface({ input: child.stdout }).on('line', (line) => {
    said.add(line[0])
    try {
      ledger.hear(line)
    } catch (error) {
      failure ??= error
    }
  })
  const ended = once(child, 'close').then((result) => {
    if (failure !== undefined) throw failure
    return result
  })
  ended.catch(() => {})
  const kill = async () => {
    child.kill('SIGKILL')
    const [code, signal] = await ended
    assert.equal(signal, 'SIGKILL', `it ended by itself with ${code}: ${errors}`)
    ledger.end()
  }
  return { said, ended, kill, errors: () => errors, hasEnded: () => child.exitCode !== null }
}

/** The gaps of all runs, as the journal has them. */
async function gapsOf(options) {
  const { NotificationClient } = await import('../index.js')
  const client = new NotificationClient(options)
  const gaps = client.gaps()
  await client.close()
  return gaps
}

/** Mulberry32. */
function generator(seed) {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}
