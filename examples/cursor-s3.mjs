// A gateway's stream into objects of JSON lines on S3, its cursor beside them: no disk, and any machine may carry on.
//
//   GATEWAY_URL=wss://gateway.example/since GENESYS_REGION=us-east-1 GENESYS_CLIENT_ID=… GENESYS_CLIENT_SECRET=… \
//     node examples/cursor-s3.mjs <bucket> <folder>
//
// Credentials and region of AWS come from where the SDK finds them; AWS_ENDPOINT_URL_S3 and S3_PATH_STYLE=1 lead to other
// servers. Whatever ends this program, a failed write included, the next run begins with what was not acknowledged: every event
// at least once, and its own id tells the second time.

import { fileURLToPath } from 'node:url'
import { GetObjectCommand, NoSuchKey, PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { NotificationClient } from 'genesys-cloud-notifications'

/**
 * A cursor in one object, one object for each stream. S3 replaces an object as a whole or not at all, and shows the last one
 * at once. If two processes share an object the last save wins and may put the cursor back: events are then repeated, none is lost.
 * A missing object is no cursor; a missing bucket, or a refusal, is an error. (Without s3:ListBucket a missing object is a refusal.)
 */
export function s3Cursor(s3, { bucket, key }) {
  const object = { Bucket: bucket, Key: key }
  return {
    load: async () => {
      try {
        const { Body } = await s3.send(new GetObjectCommand(object))
        return await Body.transformToString()
      } catch (error) {
        if (error instanceof NoSuchKey) return null
        throw error
      }
    },
    save: async (cursor) => {
      await s3.send(new PutObjectCommand({ ...object, Body: cursor, ContentType: 'application/json' }))
    },
  }
}

async function main(bucket, folder) {
  const s3 = new S3Client({
    forcePathStyle: process.env.S3_PATH_STYLE === '1',
    requestHandler: { connectionTimeout: 5_000, requestTimeout: 10_000, throwOnRequestTimeout: true },
  })
  const { GATEWAY_URL, GENESYS_REGION, GENESYS_LOGIN_URL } = process.env
  const client = new NotificationClient({
    region: GENESYS_LOGIN_URL ? { login: GENESYS_LOGIN_URL } : GENESYS_REGION,
    credentials: { clientId: process.env.GENESYS_CLIENT_ID, clientSecret: process.env.GENESYS_CLIENT_SECRET },
    endpoint: { url: GATEWAY_URL, event: { id: '/id' }, resume: { parameter: 'since', pointer: '/timestamp' } },
    cursor: s3Cursor(s3, { bucket, key: `${folder}/cursor.json` }),
  })
  client.on('state', ({ state, reason }) => console.error(state, reason))
  client.on('gap', (gap) => console.error('gap', JSON.stringify(gap)))
  client.on('error', ({ code, message }) => console.error(code, message))
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => client.close({ drainMs: 5_000 }))

  client.connect()
  // Asking for the next batch acknowledges the last, which S3 has by then. Large batches make few objects, and few cursors.
  const maxWaitMs = Number(process.env.BATCH_MS ?? 10_000)
  for await (const batch of client.batches({ maxEvents: 10_000, maxWaitMs })) {
    const [{ receivedAt, sequence }] = batch
    const Key = `${folder}/${new Date(receivedAt).toISOString()}-${sequence}.jsonl`
    await s3.send(new PutObjectCommand({ Bucket: bucket, Key, Body: batch.map(({ raw }) => `${raw}\n`).join('') }))
  }
  // The last cursor is saved before close() is done.
  await client.close()
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (process.argv.length !== 4) {
    console.error('usage: node examples/cursor-s3.mjs <bucket> <folder>')
    process.exit(2)
  }
  await main(...process.argv.slice(2))
}
