import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

import { endpoints } from './support/direct.mjs'
import { journalPath, range } from './support/journal.mjs'
import { TOPIC, environment, simulator, until } from './support/world.mjs'

const CLI = fileURLToPath(new URL('../bin/genesys-cloud-notifications.js', import.meta.url))
const COMMANDS = ['demo', 'listen', 'doctor', 'topics', 'plan', 'simulate', 'replay', 'report']

function start(args, env = {}) {
  const clean = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('GENESYS_')))
  const child = spawn(process.execPath, [CLI, ...args], { env: { ...clean, ...env } })
  const said = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr']) child[name].on('data', (chunk) => (said[name] += chunk))
  const ended = once(child, 'close').then(([code]) => ({ code, ...said }))
  return { child, said, ended }
}

/** A file with an endpoint, gone when the test is over. */
async function endpointFile(t, endpoint) {
  const folder = await mkdtemp(join(tmpdir(), 'endpoint-'))
  t.after(() => rm(folder, { recursive: true }))
  const path = join(folder, 'gateway.json')
  await writeFile(path, typeof endpoint === 'string' ? endpoint : JSON.stringify(endpoint, undefined, 2))
  return path
}

const OPTIONS = ['--region', 'us-east-1', '--client-id', 'i', '--client-secret', 's']

const run = (args, env) => start(args, env).ended

test('every command explains itself', async () => {
  const overview = await run(['--help'])
  assert.equal(overview.code, 0)
  for (const command of COMMANDS) {
    assert.match(overview.stdout, new RegExp(`^  ${command} `, 'm'))
    const { code, stdout } = await run([command, '--help'])
    assert.equal(code, 0, command)
    assert.match(stdout, new RegExp(`^genesys-cloud-notifications ${command}`))
  }
  assert.match((await run(['--version'])).stdout, /^\d+\.\d+\.\d+\n$/)
})

test('a wrong command line ends with 2 and says why on stderr', async (t) => {
  const wrong = [
    [[], /./],
    [['listne'], /did you mean "listen"/],
    [['listen'], /at least one topic/],
    [['listen', TOPIC], /GENESYS_REGION/],
    [['listen', TOPIC, '--region', 'us-east-1'], /GENESYS_CLIENT_ID/],
    [['listen', TOPIC, '--login-url', 'http://127.0.0.1:1'], /together/],
    [['listen', 'nope', '--region', 'us-east-1', '--client-id', 'i', '--client-secret', 's'], /topics\[0\]/],
    [['listen', TOPIC, '--region', 'mars', '--client-id', 'i', '--client-secret', 's'], /known regions/],
    [['plan'], /at least one topic/],
    [['plan', 'v2.users.{id}.presence'], /placeholder/],
    [['simulate', '--rate', 'many'], /--rate must be/],
    [['simulate', '--options', '{'], /not JSON/],
    [['simulate', '--options', '{"heartbeatMs":0}'], /heartbeatMs/],
    [['demo', '--seconds', '0'], /--seconds must be/],
    [['topics', '--bogus'], /--bogus/],
    [['replay'], /path of a journal/],
    [['replay', '/nowhere/events.db'], /no journal at "\/nowhere\/events\.db"/],
    [['replay', tmpdir()], /is not a file/],
    [['replay', CLI, 'second.db'], /one too many/],
    [['replay', CLI, '--from', 'yesterday'], /--from must be a time/],
    [['replay', CLI, '--from', '#9', '--to', '#5'], /to: must not lie before/],
    [['replay', CLI, '--speed', 'fast'], /--speed must be/],
    [['report'], /path of a journal/],
    [['report', CLI, '--json', '--svg'], /not both/],
    [['listen', TOPIC, ...OPTIONS, '--journal', tmpdir()], /journal\.path/],
    [['listen', TOPIC, ...OPTIONS, '--cursor', 'x'], /cursor: needs endpoint\.resume/],
    [['listen', '--endpoint', '/nowhere/gateway.json'], /--endpoint: ENOENT/],
    [['listen', '--endpoint', CLI], /--endpoint: ".*" is not JSON/],
    [['listen', '--endpoint', await endpointFile(t, 5), ...OPTIONS], /endpoint: must be an object/],
    [['listen', '--endpoint', await endpointFile(t, { uri: 'canary' }), ...OPTIONS], /endpoint\.uri.*"url"/],
    [['listen', '--endpoint', await endpointFile(t, { url: 'canary' }), ...OPTIONS], /endpoint\.url: must begin/],
    [['listen', '--endpoint', await endpointFile(t, {})], /GENESYS_LOGIN_URL/],
    [['doctor', '--endpoint', await endpointFile(t, {}), '--region', 'us-east-1'], /GENESYS_CLIENT_ID/],
  ]
  for (const [args, words] of wrong) {
    const { code, stdout, stderr } = await run(args)
    assert.equal(code, 2, `${args}: ${stderr}`)
    assert.match(args.length === 0 ? stdout : stderr, words, String(args))
    assert.doesNotMatch(stderr, /canary/)
  }
})

test('topics searches offline, plan shows names and channels', async () => {
  const found = await run(['topics', 'users', 'presence', '--json'])
  assert.equal(found.code, 0)
  assert.ok(JSON.parse(found.stdout).includes('v2.users.{id}.presence'))
  assert.match((await run(['topics', 'Station'])).stdout, /^v2\.users\.\{id\}\.station$/m)
  const plan = await run([
    'plan',
    'v2.users.u.presence',
    'v2.users.u.station',
    '--topics',
    'v2.users.w.presence',
    '--json',
  ])
  assert.deepEqual(JSON.parse(plan.stdout), {
    topics: 3,
    channels: 1,
    requests: 3,
    names: ['v2.users.u?presence&station', 'v2.users.w.presence'],
  })
})

test('simulate and listen work together, and listen survives drops', async (t) => {
  const simulate = start(['simulate', '--json', '--rate', '100'])
  t.after(() => simulate.child.kill())
  const [line] = await once(createInterface({ input: simulate.child.stdout }), 'line')
  const { urls, credentials } = JSON.parse(line)
  assert.deepEqual(
    [Object.keys(urls), Object.keys(credentials)],
    [
      ['login', 'api', 'streaming', 'gateway'],
      ['clientId', 'clientSecret'],
    ],
  )
  const listen = start(['listen', TOPIC, '--json'], environment({ urls, credentials }))
  await until(() => listen.said.stdout.split('\n').length > 20)
  for (const text of listen.said.stdout.trim().split('\n').slice(0, 20)) assert.equal(JSON.parse(text).topicName, TOPIC)
  assert.ok(listen.said.stderr.split('\n').some((text) => text.includes('"connected"')))
  listen.child.kill('SIGINT')
  assert.equal((await listen.ended).code, 0)
  simulate.child.kill('SIGTERM')
  assert.equal((await simulate.ended).code, 0)
})

test('listen survives drops, and says so on stderr', async (t) => {
  const sim = await simulator(t)
  sim.traffic({ ratePerSecond: 100, topics: [TOPIC] })
  const { child, said, ended } = start(['listen', TOPIC], environment(sim))
  await until(() => said.stdout.length > 0)
  sim.fault({ match: { operation: 'socket' }, action: { kind: 'reset' } })
  await until(() => /gap-1 closed/.test(said.stderr))
  const before = said.stdout.length
  await until(() => said.stdout.length > before)
  child.kill('SIGTERM')
  assert.equal((await ended).code, 0)
})

const parsed = (stdout) => stdout.split('\n').slice(0, -1).map((line) => JSON.parse(line)) // prettier-ignore

test('listen with a journal goes on where a killed one ended; replay and report read what it kept', async (t) => {
  const sim = await simulator(t)
  const env = environment(sim)
  const path = await journalPath(t)
  const args = ['listen', TOPIC, '--journal', path]
  const traffic = sim.traffic({ ratePerSecond: 100, topics: [TOPIC] })
  const first = start(args, env)
  await until(() => first.said.stdout.split('\n').length > 20)
  assert.equal((await run(['report', path])).code, 0)
  first.child.kill('SIGKILL')
  await first.ended

  const second = start([...args, '--standby', '--backfill'], env)
  await until(() => /gap-1 closed/.test(second.said.stderr) && second.said.stdout.split('\n').length > 20)
  assert.match(second.said.stderr, /process_down/)
  const busy = await run(args, env)
  assert.deepEqual([busy.code, /is in use by process \d+/.test(busy.stderr)], [2, true], busy.stderr)
  traffic.stop()
  second.child.kill('SIGTERM')
  assert.equal((await second.ended).code, 0)

  const printed = [...parsed(first.said.stdout), ...parsed(second.said.stdout)]
  const known = new Map(printed.map((event) => [event.sequence, event]))
  const again = printed.filter(({ redelivered }) => redelivered)
  // At least once: what was printed twice is flagged.
  assert.ok(printed.length - known.size <= again.length)

  const replayed = await run(['replay', path])
  assert.equal(replayed.code, 0, replayed.stderr)
  const events = parsed(replayed.stdout)
  assert.ok(events.every(({ origin }) => origin === 'replay'))
  const live = events.filter(({ sequence }) => known.has(sequence))
  assert.equal(live.length, known.size)
  for (const { sequence, eventBody } of live) assert.deepEqual(eventBody, known.get(sequence).eventBody)

  const [begin, end] = [events[3], events[8]]
  const some = await run(['replay', path, '--from', `#${begin.sequence}`, '--to', `#${end.sequence}`, '--speed', '50'])
  assert.deepEqual(parsed(some.stdout), events.slice(3, 8))
  const late = await run(['replay', path, '--from', new Date(end.receivedAt).toISOString(), '--raw'])
  assert.equal(parsed(late.stdout).length, events.filter(({ receivedAt }) => receivedAt >= end.receivedAt).length)
  assert.equal((await run(['replay', path, '--to', '1000'])).stdout, '')

  const text = await run(['report', path])
  assert.equal(text.code, 6)
  assert.match(text.stdout, /process_down/)
  const json = await run(['report', path, '--json'])
  const { totals } = JSON.parse(json.stdout)
  assert.equal(json.code, 6)
  assert.equal(totals.connectedMs + totals.gapMs, totals.wallMs)
  assert.match((await run(['report', path, '--svg'])).stdout, /^<svg[\s\S]+<\/svg>\n$/)
})

test('a file that is no journal ends with 1 and is named, doctor tells a journal that cannot be used', async (t) => {
  const sim = await simulator(t)
  const path = `${dirname(dirname(await journalPath(t)))}/notes.txt`
  await writeFile(path, 'not a database, whatever its name is\n'.repeat(100))
  for (const command of ['replay', 'report']) {
    const { code, stderr } = await run([command, path])
    assert.deepEqual([code, /JOURNAL_FAILED: 'notes\.txt' is not a journal/.test(stderr)], [1, true], stderr)
  }
  const sick = await run(['doctor', '--journal', path], environment(sim))
  assert.equal(sick.code, 2)
  assert.match(sick.stdout, /^FAILED {2}journal .*not a journal/m)
  const well = await run(['doctor', '--journal', await journalPath(t)], environment(sim))
  assert.equal(well.code, 0)
  assert.match(well.stdout, /^ok {6}journal /m)
})

test('simulate says how to try a gateway; listen with a cursor goes on there', async (t) => {
  const simulate = start(['simulate', '--rate', '50'])
  t.after(() => simulate.child.kill())
  await until(() => /--cursor/.test(simulate.said.stdout))
  const said = simulate.said.stdout
  const env = Object.fromEntries([...said.matchAll(/^export (\w+)=(.*)$/gm)].map(([, name, value]) => [name, value]))
  const endpoint = await endpointFile(t, said.match(/^echo '(.*)' > gateway\.json$/m)[1])
  // The endpoint needs no more of Genesys Cloud than a token.
  delete env.GENESYS_API_URL
  const cursor = join(dirname(endpoint), 'gateway.cursor')
  const args = ['listen', '--endpoint', endpoint, '--cursor', cursor, '--raw']
  const numbers = []
  for (let runs = 0; runs < 3; runs++) {
    const listen = start(args, env)
    t.after(() => listen.child.kill())
    await until(
      () => listen.said.stdout.split('\n').length > 10,
      () => listen.said.stderr,
    )
    listen.child.kill('SIGTERM')
    const { code, stdout, stderr } = await listen.ended
    assert.equal(code, 0, stderr)
    numbers.push(...parsed(stdout).map(({ sequence }) => sequence))
  }
  assert.deepEqual(numbers, range(numbers[0], numbers.at(-1)))
})

test('doctor goes through the connection to an endpoint, and says which step fails', async (t) => {
  const sim = await simulator(t)
  const env = environment(sim)
  const { query, firstMessage, open } = endpoints(sim)
  const never = { ...firstMessage, ready: { ...firstMessage.ready, equals: 'never', timeoutMs: 50 } }
  const nowhere = { ...open, url: 'ws://127.0.0.1:1/x' }
  const wrongSecret = { ...env, GENESYS_CLIENT_SECRET: 'wrong' }
  const unknown = { ...query, tokenParameter: 'not_the_token' }
  const traffic = sim.traffic({ ratePerSecond: 50, topics: [TOPIC] })
  const table = [
    [firstMessage, [TOPIC], env, 0, ['options', 'token', 'socket', 'ready', 'topics', 'live', 'event']],
    [query, [], env, 0, ['options', 'token', 'socket', 'live', 'event']],
    [open, [], {}, 0, ['options', 'socket', 'live', 'event']],
    [never, [TOPIC], env, 5, ['options', 'token', 'socket', '!ready']],
    [nowhere, [], {}, 5, ['options', '!socket']],
    [query, [], wrongSecret, 3, ['options', '!token']],
    [unknown, [], env, 3, ['options', 'token', '!socket']],
  ]
  const examine = async (endpoint, topics, variables, seconds) => {
    const file = await endpointFile(t, endpoint)
    const args = ['doctor', '--endpoint', file, ...topics, '--json', '--seconds', seconds]
    const { code, stdout, stderr } = await run(args, variables)
    const steps = parsed(stdout).slice(0, -1)
    return { code, steps: steps.map(({ step, ok }) => `${ok === false ? '!' : ''}${step}`), text: `${stdout}${stderr}` }
  }
  for (const [endpoint, topics, variables, expected, steps] of table) {
    const found = await examine(endpoint, topics, variables, expected === 5 ? '2' : '20')
    assert.deepEqual([found.code, found.steps], [expected, steps], found.text)
  }
  traffic.stop()
  const quiet = await examine(open, [], {}, '1')
  assert.deepEqual([quiet.code, quiet.steps.at(-1)], [0, 'event'])
  assert.match(quiet.text, /"ok":null,"detail":"none came/)
})

test('exit codes tell credentials, permission and network apart', async (t) => {
  const sim = await simulator(t, { forbidden: [{ topic: TOPIC, missingPermissions: ['presence:view'] }] })
  const env = environment(sim)
  const wrongSecret = { ...env, GENESYS_CLIENT_SECRET: 'wrong' }
  const noApi = { ...env, GENESYS_API_URL: 'http://127.0.0.1:1' }
  const allowed = 'v2.users.u.station'
  const table = [
    [['listen', TOPIC], env, 4],
    [['listen', allowed], wrongSecret, 3],
    [['doctor', allowed], env, 0],
    [['doctor', allowed, TOPIC], env, 4],
    [['doctor', TOPIC], env, 4],
    [['doctor', allowed], wrongSecret, 3],
    [['doctor', allowed, '--seconds', '1'], noApi, 5],
    [['doctor'], env, 0],
  ]
  for (const [args, variables, expected] of table) {
    const { code, stdout, stderr } = await run(args, variables)
    assert.equal(code, expected, `${args}\n${stdout}${stderr}`)
  }
  const { stdout } = await run(['doctor', allowed, TOPIC, '--json'], env)
  const steps = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  assert.deepEqual(
    steps.map(({ step, ok }) => [step, ok]),
    [
      ['options', true],
      ['token', true],
      ['channel', true],
      ['topics', true],
      ['socket', true],
      ['topic', false],
      [undefined, undefined],
    ],
  )
  assert.deepEqual(steps.at(-2).missingPermissions, ['presence:view'])
  assert.match((await run(['doctor', allowed], wrongSecret)).stdout, /region/)
})

test('the demo accounts for every event, and its last line says so', async () => {
  const { code, stdout } = await run(['demo', '--seconds', '8', '--json'])
  const lines = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  const { summary } = lines.at(-1)
  assert.equal(code, 0, JSON.stringify(summary))
  assert.equal(summary.unreportedLoss, 0)
  assert.equal(summary.duplicates, 0)
  assert.equal(summary.delivered + summary.reportedLoss, summary.events)
  for (const type of ['note', 'fault', 'state', 'gap', 'rate'])
    assert.ok(
      lines.some((line) => line.type === type),
      type,
    )
})

test('the demo listens to the configured service instead, and is readable', async (t) => {
  const sim = await simulator(t)
  sim.traffic({ ratePerSecond: 100, topics: [TOPIC] })
  const { code, stdout } = await run(['demo', '--seconds', '2'], { ...environment(sim), GENESYS_TOPICS: TOPIC })
  assert.equal(code, 0)
  assert.match(stdout, /the real service, 1 topics/)
  assert.match(stdout, /connected {5,}\d+ events\/s/)
  assert.match(stdout, /unreported\s+unknown/)
})
