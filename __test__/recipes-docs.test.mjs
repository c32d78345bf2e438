import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import { connections, kill, isOpen, publisher } from './support/gateway.mjs'
import { readersFolder, runRecipe } from './support/recipes.mjs'
import { simulator, until } from './support/world.mjs'

const OPTIONS = { timeout: 60_000 }
const TOPIC = 'v2.users.u1.presence'
const THEIRS = 'Your loop'

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
