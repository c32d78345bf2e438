// A gateway's stream into a Redis stream, its cursor beside it: no disk, and any machine may carry on.
//
//   GATEWAY_URL=wss://gateway.example/since GENESYS_REGION=us-east-1 GENESYS_CLIENT_ID=… GENESYS_CLIENT_SECRET=… \
//     REDIS_URL=redis://127.0.0.1:6379 node examples/cursor-redis.mjs <name>
//
// Events go to the stream events:<name>, the cursor to cursor:<name>. Whatever ends this program, a failed write included, the
// next run begins with what was not acknowledged: every event at least once, and its own id tells the second time.

import { fileURLToPath } from 'node:url'
import { NotificationClient } from 'genesys-cloud-notifications'
import { createClient } from 'redis'

/**
 * A cursor in one key, one key for each stream. A client saves one cursor at a time, so SET is enough. If two processes
 * share a key the last save wins and may put the cursor back: events are then repeated, none is lost.
 */
export function redisCursor(redis, key) {
  return {
    load: () => redis.get(key),
    save: async (cursor) => {
      await redis.set(key, cursor)
    },
  }
}

async function main(name) {
  const redis = createClient({
    url: process.env.REDIS_URL,
    // What cannot be saved now has to fail, so that it is told and tried again; it must not wait in a queue of its own.
    disableOfflineQueue: true,
    pingInterval: 5_000,
    // The default strategy gives up after a timeout of the socket.
    socket: { socketTimeout: 10_000, reconnectStrategy: (tries) => Math.min(50 * 2 ** tries, 2_000) },
  })
  redis.on('error', (error) => console.error('redis', error.message))
  await redis.connect()

  const { GATEWAY_URL, GENESYS_REGION, GENESYS_LOGIN_URL } = process.env
  const client = new NotificationClient({
    region: GENESYS_LOGIN_URL ? { login: GENESYS_LOGIN_URL } : GENESYS_REGION,
    credentials: { clientId: process.env.GENESYS_CLIENT_ID, clientSecret: process.env.GENESYS_CLIENT_SECRET },
    endpoint: { url: GATEWAY_URL, event: { id: '/id' }, resume: { parameter: 'since', pointer: '/timestamp' } },
    cursor: redisCursor(redis, `cursor:${name}`),
  })
  client.on('state', ({ state, reason }) => console.error(state, reason))
  client.on('gap', (gap) => console.error('gap', JSON.stringify(gap)))
  client.on('error', ({ code, message }) => console.error(code, message))
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => client.close({ drainMs: 5_000 }))

  client.connect()
  // Asking for the next batch acknowledges the last, which Redis has by then.
  for await (const batch of client.batches()) {
    const entries = redis.multi()
    for (const { raw } of batch) entries.xAdd(`events:${name}`, '*', { raw })
    await entries.exec()
  }
  // The last cursor is saved before close() is done.
  await client.close()
  await redis.close()
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (process.argv.length !== 3) {
    console.error('usage: node examples/cursor-redis.mjs <name>')
    process.exit(2)
  }
  await main(process.argv[2])
}
