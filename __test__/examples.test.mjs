import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

import { TOPIC, environment, sentAt, simulator, until } from './support/world.mjs'

function run(t, sim, name, args) {
  const path = fileURLToPath(new URL(`../examples/${name}`, import.meta.url))
  const child = spawn(process.execPath, [path, ...args], { env: { ...process.env, ...environment(sim) } })
  t.after(() => child.kill('SIGKILL'))
  const said = { stdout: '', stderr: '' }
  for (const stream of ['stdout', 'stderr']) child[stream].on('data', (chunk) => (said[stream] += chunk))
  return { child, said, ended: once(child, 'close') }
}

test('hourly files hold every event once, and the gaps beside them', { timeout: 60_000 }, async (t) => {
  const sim = await simulator(t)
  const folder = await mkdtemp(join(tmpdir(), 'hourly-'))
  t.after(() => rm(folder, { recursive: true }))
  const { child, ended } = run(t, sim, 'hourly-files.mjs', [folder, TOPIC])
  const lines = async (suffix) => {
    const names = (await readdir(folder)).filter((name) => /^[-0-9T]+/.exec(name)[0] + suffix === name)
    const texts = await Promise.all(names.map((name) => readFile(join(folder, name), 'utf8')))
    return texts.join('').split('\n').slice(0, -1)
  }

  await until(() => sim.channels().some(({ connected, topics }) => connected && topics.length > 0))
  sim.traffic({ ratePerSecond: 200 })
  await until(async () => (await lines('.jsonl')).length > 50)
  sim.fault({ match: { operation: 'socket' }, action: { kind: 'reset' } })
  await until(async () => (await lines('.gaps.jsonl')).length === 2)
  const before = (await lines('.jsonl')).length
  await until(async () => (await lines('.jsonl')).length > before + 50)
  child.kill('SIGTERM')
  assert.equal((await ended)[0], 0)

  const ids = (await lines('.jsonl')).map((line) => JSON.parse(line).metadata.CorrelationId)
  assert.equal(new Set(ids).size, ids.length)
  const gaps = (await lines('.gaps.jsonl')).map((line) => JSON.parse(line))
  assert.deepEqual(
    gaps.map(({ id, to }) => [id, to === null]),
    [
      ['gap-1', true],
      ['gap-1', false],
    ],
  )
})

test('the journal example writes every event once, whatever kills it', { timeout: 60_000 }, async (t) => {
  const sim = await simulator(t)
  const folder = await mkdtemp(join(tmpdir(), 'once-'))
  t.after(() => rm(folder, { recursive: true }))
  const lines = async (name) => (await readFile(join(folder, name), 'utf8').catch(() => '')).split('\n').slice(0, -1)
  sim.traffic({ ratePerSecond: 300, topics: [TOPIC] })
  for (const signal of ['SIGKILL', 'SIGKILL', 'SIGTERM']) {
    const before = (await lines('events.jsonl')).length
    const { child, said, ended } = run(t, sim, 'journal.mjs', [folder, TOPIC])
    await until(async () => (await lines('events.jsonl')).length > before + 50, () => said.stderr) // prettier-ignore
    child.kill(signal)
    await ended
  }
  const events = (await lines('events.jsonl')).map((line) => JSON.parse(line))
  const sequences = events.map(({ sequence }) => sequence)
  assert.deepEqual(
    sequences,
    sequences.toSorted((a, b) => a - b),
  )
  assert.equal(new Set(sequences).size, sequences.length)
  const ids = events.map(({ metadata }) => metadata.CorrelationId)
  assert.equal(new Set(ids).size, ids.length)

  const gaps = new Map((await lines('gaps.jsonl')).map((line) => [JSON.parse(line).id, JSON.parse(line)]))
  assert.deepEqual(
    [...gaps.values()].map(({ reason, to }) => [reason, to !== null]),
    Array.from({ length: 2 }, () => ['process_down', true]),
  )
  const { events: published } = sim.log()
  const [first, last] = [events[0].receivedAt, events.at(-1).receivedAt]
  const lost = published.filter(({ at, correlationId }) => at > first && at < last && !ids.includes(correlationId))
  const covers = (at) => [...gaps.values()].some(({ from, to }) => from <= at && at <= to)
  assert.deepEqual(
    lost.filter((event) => !covers(sentAt(event))),
    [],
  )
})

test('the wallboard counts agents and ends when told to', { timeout: 60_000 }, async (t) => {
  const sim = await simulator(t)
  const { child, said, ended } = run(t, sim, 'wallboard.mjs', ['a1', 'a2'])
  await until(() => sim.channels().some(({ connected, topics }) => connected && topics.length > 0))
  sim.traffic({ ratePerSecond: 50 })
  await until(() => /^live \{.+\d/m.test(said.stdout))
  child.kill('SIGTERM')
  assert.equal((await ended)[0], 0)
})
