import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { test } from 'node:test'

import { S3Client } from '@aws-sdk/client-s3'
import { createClient } from 'redis'

import { redisCursor } from '../examples/cursor-redis.mjs'
import { s3Cursor } from '../examples/cursor-s3.mjs'
import { ACCESS, BUCKET, storeServer, unlessInstalled } from './support/stores.mjs'

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
