import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import { connections, kill, isOpen, publisher } from './support/gateway.mjs'
import { readersFolder, runRecipe } from './support/recipes.mjs'
import { range } from './support/journal.mjs'
import { clientOf, sentAt, simulator, until } from './support/world.mjs'

const OPTIONS = { timeout: 60_000 }
const TOPIC = 'v2.users.u1.presence'
const OTHER = 'v2.users.u2.presence'
const THEIRS = 'Your loop'
const OURS = 'Ours'

async function arena(t, page, heading, gateway, options) {
  const sim = await simulator(t, { gateway, ...options })
  const folder = await readersFolder(t)
  const run = () => runRecipe(t, sim, folder, page, heading)
  return { sim, folder, run, events: publisher(sim, TOPIC), all: () => sim.log().gateway }
}

/** Waits until a connection of the endpoint is ready that is none of those before. */
const nextConnection = (sim, endpoint, program, before = 0) =>
  until(
    () => connections(sim, endpoint).slice(before).find(isOpen),
    () => `connected: ${program.said.stderr} ${JSON.stringify(sim.log().gateway)}`,
    20_000,
  )

test('token in the query: the loop goes on with an expired token, for ever', OPTIONS, async (t) => {
  const { sim, run } = await arena(t, 'token-in-query', THEIRS, {}, { tokenLifeMs: 500 })
  const program = await run()
  await nextConnection(sim, 'query', program)
  // The gateway ends the connection with the token.
  await until(() => connections(sim, 'query').filter(({ status, token }) => status === 401 && token === 'expired').length >= 2) // prettier-ignore
})

test('first message: the loop subscribes before it may, and hears nothing', OPTIONS, async (t) => {
  const { sim, run, events } = await arena(t, 'first-message', THEIRS, { readyDelayMs: 100, early: 'ignore' })
  const program = await run()
  const connection = await nextConnection(sim, 'first-message', program)
  assert.equal(connection.earlyFrames, 2)
  events.some(10)
  kill(sim)
  await nextConnection(sim, 'first-message', program, 1)
  assert.deepEqual(program.printed(), [])
})

test('since: the loop drops events of one millisecond, and a torn file stops it', OPTIONS, async (t) => {
  const { sim, folder, run, events } = await arena(t, 'since', THEIRS, {})
  const program = await run()
  await nextConnection(sim, 'since', program)
  events.some(200)
  kill(sim)
  await nextConnection(sim, 'since', program, 1)
  assert.ok(program.printed().length < 200, `${program.printed().length} of 200`)
  await program.kill()

  await writeFile(join(folder, 'since.txt'), '')
  await run()
  await until(() => connections(sim, 'since').filter(({ status }) => status === 400).length >= 2)
})

test('closes every minute: the loop makes a storm', OPTIONS, async (t) => {
  const { sim, run } = await arena(t, 'closes-every-minute', THEIRS, { closeEveryMs: 200, connectLimit: 3 })
  const program = await run()
  const refused = () => connections(sim, 'minute').filter(({ status }) => status === 429).length
  await until(() => refused() >= 50, () => `${refused()} refusals: ${program.said.stderr}`) // prettier-ignore
  await program.kill()
})

/** Events flow while the socket is killed time and again. */
async function endure(t, { sim, events, program, kills = 3 }) {
  events.start(t)
  for (let i = 0; i <= kills; i++) {
    const before = program.printed().length
    await until(() => program.printed().length > before + 20, () => program.said.stderr, 20_000) // prettier-ignore
    if (i < kills) kill(sim)
  }
  const mark = events.last
  await until(() => program.printed().at(-1) >= mark, () => program.said.stderr, 20_000) // prettier-ignore
  events.stop()
}

/** What must hold of every recipe: nothing twice, nothing missing that no gap tells of, no connection that should not be. */
function judge({ sim, endpoint, program }) {
  const printed = program.printed()
  assert.deepEqual(printed, [...new Set(printed)], 'delivered twice')
  const missing = range(printed[0], printed.at(-1)).filter((n) => !printed.includes(n))
  const gaps = [...program.said.stderr.matchAll(/(\S+Z) → (\S+Z)$/gm)].map(([, from, to]) => [from, to].map(Date.parse))
  const { events } = sim.log()
  const isTold = (at) => gaps.some(([from, to]) => from <= at && at <= to)
  const untold = missing.filter((n) => !isTold(sentAt(events[n - 1])))
  assert.deepEqual(untold, [], `lost outside of ${JSON.stringify(gaps)}`)
  const made = connections(sim, endpoint)
  assert.deepEqual([...new Set(made.map(({ token }) => token))].filter((token) => !['valid', 'none'].includes(token)), []) // prettier-ignore
  assert.equal(made.reduce((sum, { earlyFrames }) => sum + earlyFrames, 0), 0) // prettier-ignore
  return { made, missing, gaps }
}

// P12.3, P12.4
test('token in the query: ours lives through lost connections and expired tokens', OPTIONS, async (t) => {
  const { sim, run, events } = await arena(t, 'token-in-query', OURS, {}, { tokenLifeMs: 1_500 })
  const program = await run()
  await nextConnection(sim, 'query', program)
  while (sim.log().requests.filter(({ operation }) => operation === 'token').length < 4)
    await endure(t, { sim, events, program, kills: 1 })
  const { gaps } = judge({ sim, endpoint: 'query', program })
  assert.ok(gaps.length > 0)
})

// P12.1, P12.2, P12.4
test('first message: ours waits until it may, and renews its token on the socket', OPTIONS, async (t) => {
  const options = { tokenLifeMs: 1_500 }
  const { sim, run, events } = await arena(t, 'first-message', OURS, { readyDelayMs: 50 }, options)
  const program = await run()
  await nextConnection(sim, 'first-message', program)
  await endure(t, { sim, events, program })
  await until(() => connections(sim, 'first-message').some(({ renewals }) => renewals > 0))
  const { made } = judge({ sim, endpoint: 'first-message', program })
  for (const { asked } of made.filter(isOpen)) assert.deepEqual(asked.map(({ topic }) => topic), [TOPIC, OTHER]) // prettier-ignore
})

// P12.6, P12.8
test('since: ours loses nothing and repeats nothing; killed, it goes on from its cursor', OPTIONS, async (t) => {
  const { sim, run, events } = await arena(t, 'since', OURS, { inclusive: false }, { tokenLifeMs: 1_500 })
  const seen = new Set()
  for (const round of range(1, 2)) {
    const program = await run()
    await nextConnection(sim, 'since', program, connections(sim, 'since').length)
    await endure(t, { sim, events, program })
    const { missing } = judge({ sim, endpoint: 'since', program })
    assert.deepEqual(missing, [], `round ${round}`)
    await program.kill()
    // Only now: what it printed in its last moments is acknowledged, too.
    for (const n of program.printed()) seen.add(n)
    // While nobody listens.
    events.some(20)
  }
  assert.deepEqual([...seen].sort((a, b) => a - b), range(Math.min(...seen), Math.max(...seen))) // prettier-ignore
})

// P12.3, P12.5
test('closes every minute: ours comes back each time, and is never a storm', OPTIONS, async (t) => {
  const gateway = { closeEveryMs: 1_000, connectLimit: 5, connectWindowMs: 1_000 }
  const { sim, run, events } = await arena(t, 'closes-every-minute', OURS, gateway)
  const program = await run()
  await nextConnection(sim, 'minute', program)
  const closes = () => connections(sim, 'minute').filter(({ ended }) => ended === 'scheduled').length
  while (closes() < 3) await endure(t, { sim, events, program, kills: 0 })
  const { made } = judge({ sim, endpoint: 'minute', program })
  assert.deepEqual(made.filter(({ status }) => status === 429), []) // prettier-ignore
})

// P12.4
test('closes every minute: who replaces the connection before loses nothing', OPTIONS, async (t) => {
  const sim = await simulator(t, { gateway: { closeEveryMs: 4_000, connectLimit: 100 } })
  const endpoint = { url: `${sim.urls.gateway}/minute`, event: { id: '/id' }, lifetimeMs: 4_000 }
  const client = clientOf(t, sim, { region: { login: sim.urls.login }, topics: [], endpoint })
  const events = publisher(sim, TOPIC)
  const heard = []
  client.on('event', ({ eventBody }) => heard.push(eventBody.n))
  await client.connect()
  events.start(t)
  await until(
    () => connections(sim, 'minute').length >= 4,
    () => 'four connections',
    30_000,
  )
  events.stop()
  await until(() => heard.length === events.last)
  assert.deepEqual(heard.toSorted((a, b) => a - b), range(1, events.last)) // prettier-ignore
  assert.deepEqual(client.gaps(), [])
})
