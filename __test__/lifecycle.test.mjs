import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'

import { QUICK, TOPIC, clientOf, collect, simulator, until } from './support/world.mjs'

const INDEX = new URL('../index.js', import.meta.url).href

/** Runs a program with a `client` against the simulator; resolves with how it ended. */
async function program(sim, body, { timeoutMs = 15_000, flags = [] } = {}) {
  const options = { region: sim.urls, credentials: sim.credentials, topics: [TOPIC], ...QUICK }
  const source = `
    import { NotificationClient } from ${JSON.stringify(INDEX)}
    const options = ${JSON.stringify(options)}
    const client = new NotificationClient(options)
    ${body}`
  const child = spawn(process.execPath, [...flags, '--input-type=module', '--eval', source], {
    // One arena: memory of ended threads stays visible otherwise, and hides what grows.
    env: { ...process.env, MALLOC_ARENA_MAX: '1' },
  })
  const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs)
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (chunk) => (stdout += chunk))
  child.stderr.on('data', (chunk) => (stderr += chunk))
  const [code, signal] = await once(child, 'close')
  clearTimeout(timer)
  return { code, signal, stdout, stderr }
}

const socketsOpen = (sim) => sim.channels().filter(({ connected }) => connected).length

test('a program ends by itself after close()', async (t) => {
  const sim = await simulator(t)
  const { code, stderr } = await program(sim, `await client.connect(); await client.close()`)
  assert.deepEqual([code, stderr], [0, ''])
})

test('an idle client keeps no program alive, a connected one does, an unreferenced one does not', async (t) => {
  const sim = await simulator(t)
  assert.equal((await program(sim, ``)).code, 0)
  assert.equal((await program(sim, `await client.connect(); client.unref()`)).code, 0)
  assert.equal((await program(sim, `client.unref(); await client.connect().then(() => {})`)).code, 13)
  const waits = await program(sim, `await client.connect()`, { timeoutMs: 1_500 })
  assert.equal(waits.signal, 'SIGKILL', 'it must still be waiting')
})

test('a program that listens hears events and ends when the signal aborts', async (t) => {
  const sim = await simulator(t)
  const traffic = sim.traffic({ ratePerSecond: 100 })
  const { code, stdout } = await program(
    sim,
    `const found = []
     client.connect()
     for await (const event of client.events()) if (found.push(event) === 5) break
     console.log(found.length)
     await client.close()`,
  )
  traffic.stop()
  assert.deepEqual([code, stdout], [0, '5\n'])
})

test('process.exit in full flow ends the process at once, and its sockets', async (t) => {
  const sim = await simulator(t)
  sim.traffic({ ratePerSecond: 5_000 })
  for (let i = 0; i < 3; i++) {
    const { code, stderr } = await program(
      sim,
      `let n = 0
       client.on('event', () => { if (++n === 200) process.exit(0) })
       await client.connect()
       await new Promise(() => {})`,
    )
    assert.deepEqual([code, stderr], [0, ''])
  }
  await until(() => socketsOpen(sim) === 0)
})

test('an error listener that throws ends the program as uncaughtException; nothing else does', async (t) => {
  const sim = await simulator(t)
  sim.fault({ match: { operation: 'token' }, action: { kind: 'status', status: 503 }, times: null })
  const meant = await program(sim, `client.on('error', (error) => { throw error }); client.connect()`)
  assert.equal(meant.code, 1)
  assert.match(meant.stderr, /SERVICE_UNAVAILABLE/)
  const unheard = await program(
    sim,
    `client.connect()
     process.on('unhandledRejection', () => process.exit(9))
     setTimeout(() => client.close(), 300)`,
  )
  assert.equal(unheard.code, 0, unheard.stderr)
})

test('a client that fails unawaited harms nothing: no unhandled rejection', async (t) => {
  const sim = await simulator(t, { forbidden: [{ topic: TOPIC }] })
  const { code, stderr } = await program(sim, `client.connect()`)
  assert.equal(code, 0)
  assert.match(stderr, /ALL_TOPICS_REJECTED/)
  assert.doesNotMatch(stderr, /Unhandled|triggerUncaught/)
})

const WORKER = `
  const { parentPort, workerData } = require('node:worker_threads')
  const { NotificationClient } = require(workerData.index)
  const client = new NotificationClient(workerData.options)
  let heard = 0
  client.on('event', () => { if (++heard % 50 === 0) parentPort.postMessage(heard) })
  parentPort.on('message', async () => { await client.close(); parentPort.close() })
  client.connect().then(() => parentPort.postMessage(0))
`

test('worker threads have clients of their own, and a terminated worker leaves no socket', async (t) => {
  const sim = await simulator(t)
  sim.traffic({ ratePerSecond: 2_000 })
  const index = fileURLToPath(INDEX)
  const options = { region: sim.urls, credentials: sim.credentials, topics: [TOPIC], ...QUICK }
  for (let round = 0; round < 3; round++) {
    const workers = Array.from({ length: 4 }, () => new Worker(WORKER, { eval: true, workerData: { index, options } }))
    await Promise.all(workers.map((worker) => until(async () => (await once(worker, 'message'))[0] >= 50)))
    assert.equal(socketsOpen(sim), 4)
    const [polite, ...rest] = workers
    polite.postMessage('close')
    await Promise.all([once(polite, 'exit'), ...rest.map((worker) => worker.terminate())])
    await until(() => socketsOpen(sim) === 0, 'all sockets closed')
  }
})

test('several clients of one process do not disturb each other', async (t) => {
  const sim = await simulator(t)
  const clients = Array.from({ length: 5 }, () => clientOf(t, sim))
  const seen = clients.map(collect)
  await Promise.all(clients.map((client) => client.connect()))
  for (let n = 0; n < 100; n++) sim.publish(TOPIC, { n })
  await until(() => seen.every((events) => events.size === 100))
  await clients[0].close()
  sim.publish(TOPIC, { n: 100 })
  await until(() => seen.slice(1).every((events) => events.size === 101))
  assert.equal(seen[0].size, 100)
})

test('1,000 clients opened and closed leave no memory behind', async (t) => {
  const sim = await simulator(t)
  // One process may create 20 channels at once and one a second after: most clients are closed while they wait for theirs.
  const { code, stdout, stderr } = await program(
    sim,
    `import { once } from 'node:events'
     const { signal } = new AbortController()
     const cycle = async (waits) => {
       const client = new NotificationClient({ ...options, signal })
       client.on('event', () => {})
       const connecting = client.connect()
       await (waits ? connecting : once(client, 'state'))
       await client.close()
     }
     const memory = async (cycles) => {
       for (let i = 0; i < cycles; i++) await cycle(i % 100 === 0)
       for (let i = 0; i < 5; i++) { gc(); await new Promise((resolve) => setTimeout(resolve, 20)) }
       const { rss, heapUsed } = process.memoryUsage()
       return { rss: rss / 2 ** 20, heap: heapUsed / 2 ** 20 }
     }
     console.log(JSON.stringify([await memory(500), await memory(1_000)]))`,
    { timeoutMs: 60_000, flags: ['--expose-gc', '--max-semi-space-size=1'] },
  )
  assert.equal(code, 0, stderr)
  const [before, after] = JSON.parse(stdout)
  t.diagnostic(`after 500: ${words(before)}; after 1,000 more: ${words(after)}`)
  assert.ok(after.heap - before.heap < 1, 'the heap is flat')
  assert.ok(after.rss - before.rss < 8, 'the process is flat')
  await until(() => socketsOpen(sim) === 0)
})

const words = ({ rss, heap }) => `${rss.toFixed(1)} MB, heap ${heap.toFixed(1)} MB`

test('a client that was forgotten while idle is collected', async (t) => {
  const sim = await simulator(t)
  const { code, stdout } = await program(
    sim,
    `import { setFlagsFromString } from 'node:v8'
     import { runInNewContext } from 'node:vm'
     setFlagsFromString('--expose-gc')
     const gc = runInNewContext('gc')
     let collected = 0
     const registry = new FinalizationRegistry(() => collected++)
     for (let i = 0; i < 50; i++) registry.register(new NotificationClient(options), i)
     const deadline = Date.now() + 5_000
     while (collected < 50 && Date.now() < deadline) { gc(); await new Promise((resolve) => setTimeout(resolve, 5)) }
     console.log(collected)`,
  )
  assert.deepEqual([code, stdout], [0, '50\n'])
})
