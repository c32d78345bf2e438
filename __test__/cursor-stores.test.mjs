import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

import { GetObjectCommand, ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3'
import { createClient } from 'redis'

import { redisCursor } from '../examples/cursor-redis.mjs'
import { s3Cursor } from '../examples/cursor-s3.mjs'
import { connections, isOpen, kill, publisher } from './support/gateway.mjs'
import { range } from './support/journal.mjs'
import { ACCESS, BUCKET, storeServer, unlessInstalled } from './support/stores.mjs'
import { TOPIC, environment, simulator, until } from './support/world.mjs'

const CURSOR = '{"version":1,"position":"2026-01-01T00:00:00.000Z","before":"“é” \\u0000 😀"}'

async function redisAt(t, { port }) {
  const redis = createClient({ url: `redis://127.0.0.1:${port}`, disableOfflineQueue: true })
  redis.on('error', () => {})
  await redis.connect()
  t.after(() => redis.destroy())
  return redis
}

function s3At(t, { port }, credentials = ACCESS) {
  const endpoint = `http://127.0.0.1:${port}`
  const s3 = new S3Client({ endpoint, region: 'us-east-1', forcePathStyle: true, credentials, maxAttempts: 1 })
  t.after(() => s3.destroy())
  return s3
}

const STORES = {
  redis: async (t, server) => {
    const redis = await redisAt(t, server)
    return (key) => redisCursor(redis, key)
  },
  s3: (t, server) => {
    const s3 = s3At(t, server)
    return (key) => s3Cursor(s3, { bucket: BUCKET, key })
  },
}

for (const [name, storeAt] of Object.entries(STORES)) {
  const options = { timeout: 60_000, ...unlessInstalled(name) }

  test(`${name}: what was saved last is loaded, for each key its own, and nothing is null`, options, async (t) => {
    const storeOf = await storeAt(t, await storeServer(t, name))
    const [store, other] = [storeOf('streams/a b.json'), storeOf('streams/ä')]
    assert.equal(await store.load(), null)
    assert.equal(await store.save(CURSOR), undefined)
    assert.equal(await store.load(), CURSOR)
    assert.equal(await other.load(), null)
    await other.save('1')
    await store.save('2')
    assert.deepEqual(await Promise.all([store.load(), other.load()]), ['2', '1'])
  })

  test(
    `${name}: a server that is gone rejects, and is not mistaken for a store without a cursor`,
    options,
    async (t) => {
      const server = await storeServer(t, name)
      const store = (await storeAt(t, server))('a')
      await store.save(CURSOR)
      await server.stop()
      await assert.rejects(store.load())
      await assert.rejects(store.save('2'))
    },
  )
}

test('redis: a key that holds something else rejects', { timeout: 60_000, ...unlessInstalled('redis') }, async (t) => {
  const redis = await redisAt(t, await storeServer(t, 'redis'))
  await redis.lPush('a', '1')
  await assert.rejects(redisCursor(redis, 'a').load(), /WRONGTYPE/)
})

test('s3: refused credentials reject', { timeout: 60_000, ...unlessInstalled('s3') }, async (t) => {
  const server = await storeServer(t, 's3')
  const store = s3Cursor(s3At(t, server, { ...ACCESS, secretAccessKey: 'wrong' }), { bucket: BUCKET, key: 'a' })
  await assert.rejects(store.load(), { name: 'SignatureDoesNotMatch' })
  await assert.rejects(store.save(CURSOR), { name: 'SignatureDoesNotMatch' })
})

// The server of the other tests makes a bucket of every name it is told; these are the answers of S3 itself.
for (const [status, code] of [
  [404, 'NoSuchBucket'],
  [403, 'AccessDenied'],
  [503, 'SlowDown'],
])
  // prettier-ignore
  test(`s3: ${code} is not a missing cursor`, async (t) => {
    const server = createServer((_, response) => {
      response.writeHead(status, { 'content-type': 'application/xml' })
      response.end(`<?xml version="1.0"?><Error><Code>${code}</Code><Message>No.</Message></Error>`)
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.after(() => server.close())
    const store = s3Cursor(s3At(t, server.address()), { bucket: BUCKET, key: 'a' })
    await assert.rejects(store.load(), { name: code })
    await assert.rejects(store.save(CURSOR), { name: code })
  })

/** How the examples are run, and what they have written so far. */
const EXAMPLES = {
  redis: async (t, server) => {
    const redis = await redisAt(t, server)
    return {
      args: ['feed'],
      env: { REDIS_URL: `redis://127.0.0.1:${server.port}` },
      read: async () => (await redis.xRange('events:feed', '-', '+')).map(({ message }) => message.raw),
      cursor: () => redis.get('cursor:feed'),
    }
  },
  s3: async (t, server) => {
    const s3 = s3At(t, server)
    const get = async (Key) => (await s3.send(new GetObjectCommand({ Bucket: BUCKET, Key }))).Body.transformToString()
    const known = new Map()
    return {
      args: [BUCKET, 'feed'],
      env: {
        AWS_ENDPOINT_URL_S3: `http://127.0.0.1:${server.port}`,
        AWS_REGION: 'us-east-1',
        AWS_ACCESS_KEY_ID: ACCESS.accessKeyId,
        AWS_SECRET_ACCESS_KEY: ACCESS.secretAccessKey,
        S3_PATH_STYLE: '1',
        BATCH_MS: '50',
      },
      read: async () => {
        const { Contents = [] } = await s3.send(new ListObjectsV2Command({ Bucket: BUCKET, Prefix: 'feed/' }))
        const keys = Contents.map(({ Key }) => Key).filter((key) => key.endsWith('.jsonl'))
        for (const key of keys) if (!known.has(key)) known.set(key, (await get(key)).split('\n').slice(0, -1))
        return keys.sort().flatMap((key) => known.get(key))
      },
      cursor: () => get('feed/cursor.json'),
    }
  },
}

// P12.6, P12.8
for (const [name, exampleAt] of Object.entries(EXAMPLES)) {
  const options = { timeout: 120_000, ...unlessInstalled(name) }

  test(`${name}: the example goes on from its cursor, whatever ends it`, options, async (t) => {
    const sim = await simulator(t, { tokenLifeMs: 3_000, gateway: { inclusive: false } })
    const { args, env, read, cursor } = await exampleAt(t, await storeServer(t, name))
    const path = fileURLToPath(new URL(`../examples/cursor-${name}.mjs`, import.meta.url))
    const surroundings = { ...process.env, ...environment(sim), GATEWAY_URL: `${sim.urls.gateway}/since`, ...env }
    const numbers = async () => (await read()).map((raw) => JSON.parse(raw).eventBody.n)
    const events = publisher(sim, TOPIC)

    /** One process, until it has written more; the socket is killed meanwhile. */
    const run = async (signal, { isLast = false } = {}) => {
      const [made, written] = [connections(sim, 'since').length, (await read()).length]
      const child = spawn(process.execPath, [path, ...args], { env: surroundings })
      t.after(() => child.kill('SIGKILL'))
      let said = ''
      for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (said += chunk))
      const ended = once(child, 'close')
      await until(() => connections(sim, 'since').slice(made).some(isOpen), () => said, 20_000) // prettier-ignore
      events.start(t)
      for (const more of [100, 200]) {
        await until(async () => (await read()).length > written + more, () => said, 20_000) // prettier-ignore
        kill(sim)
      }
      await until(async () => (await read()).length > written + 300, () => said, 20_000) // prettier-ignore
      if (isLast) {
        events.stop()
        await until(async () => (await numbers()).includes(events.last), () => said, 20_000) // prettier-ignore
      }
      child.kill(signal)
      return { code: (await ended)[0], said }
    }

    for (const _ of range(1, 2)) {
      const { code, said } = await run('SIGTERM')
      assert.equal(code, 0, said)
      assert.match(await cursor(), /"version":1/)
    }
    const orderly = await numbers()
    assert.deepEqual(orderly, range(orderly[0], orderly.at(-1)), 'once each, in order')

    await run('SIGKILL')
    await run('SIGTERM', { isLast: true })
    const all = await numbers()
    assert.deepEqual([...new Set(all)].sort((a, b) => a - b), range(all[0], events.last)) // prettier-ignore
    assert.deepEqual(connections(sim, 'since').filter(({ status }) => status !== 101), []) // prettier-ignore
  })
}
