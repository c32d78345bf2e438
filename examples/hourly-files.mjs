// Events into one file of JSON lines per hour, gaps into a file beside them: what an upload to S3 or a COPY into Redshift wants.
//
//   GENESYS_REGION=us-east-1 GENESYS_CLIENT_ID=… GENESYS_CLIENT_SECRET=… node examples/hourly-files.mjs <folder> <topics…>
//
// A line is the frame as it came. A gap is written when it opens and again when it closes, before the first event after it;
// an hour whose gap file is missing was complete for every minute that this program ran.

import { appendFile, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { NotificationClient } from 'genesys-cloud-notifications'

const [folder, ...topics] = process.argv.slice(2)
if (topics.length === 0) {
  console.error('usage: node examples/hourly-files.mjs <folder> <topics…>')
  process.exit(2)
}

const { GENESYS_REGION, GENESYS_LOGIN_URL, GENESYS_API_URL, GENESYS_STREAMING_URL } = process.env
const client = new NotificationClient({
  region: GENESYS_API_URL
    ? { login: GENESYS_LOGIN_URL, api: GENESYS_API_URL, streaming: GENESYS_STREAMING_URL }
    : GENESYS_REGION,
  credentials: { clientId: process.env.GENESYS_CLIENT_ID, clientSecret: process.env.GENESYS_CLIENT_SECRET },
  topics,
})

await mkdir(folder, { recursive: true })
const hour = (ms) => new Date(ms).toISOString().slice(0, 13)

// One writer, so that a gap lies in its file before the events after it lie in theirs.
let writing = Promise.resolve()
const write = (name, lines) => (writing = writing.then(() => appendFile(join(folder, name), lines)))

client.on('gap', (gap) => write(`${hour(gap.from)}.gaps.jsonl`, `${JSON.stringify(gap)}\n`))
client.on('state', ({ state, reason }) => console.error(state, reason))
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => client.close({ drainMs: 5_000 }))

await client.connect()
for await (const batch of client.batches({ maxEvents: 1_000, maxWaitMs: 500 })) {
  // A batch may straddle the hour.
  for (const name of new Set(batch.map(({ receivedAt }) => hour(receivedAt)))) {
    const lines = batch.filter(({ receivedAt }) => hour(receivedAt) === name).map(({ raw }) => `${raw}\n`)
    await write(`${name}.jsonl`, lines.join(''))
  }
}
await writing
