// Exactly once into files: a journal, acknowledgement by hand, and the sequence as the key.
//
//   GENESYS_REGION=us-east-1 GENESYS_CLIENT_ID=… GENESYS_CLIENT_SECRET=… node examples/journal.mjs <folder> <topics…>
//
// The journal delivers an event until it is acknowledged, so at least once; every line carries its sequence, which is never
// used twice. Kill this program at any moment: at the next start it reads how far the file goes, cuts off half a line, and
// skips what is in it already. Gaps, those between two runs included, lie in gaps.jsonl.

import { mkdir, open, readFile, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { NotificationClient } from 'genesys-cloud-notifications'

const [folder, ...topics] = process.argv.slice(2)
if (topics.length === 0) {
  console.error('usage: node examples/journal.mjs <folder> <topics…>')
  process.exit(2)
}

await mkdir(folder, { recursive: true })
const events = await openEvents(join(folder, 'events.jsonl'))
const gaps = await open(join(folder, 'gaps.jsonl'), 'a')

const { GENESYS_REGION, GENESYS_LOGIN_URL, GENESYS_API_URL, GENESYS_STREAMING_URL } = process.env
const client = new NotificationClient({
  region: GENESYS_API_URL
    ? { login: GENESYS_LOGIN_URL, api: GENESYS_API_URL, streaming: GENESYS_STREAMING_URL }
    : GENESYS_REGION,
  credentials: { clientId: process.env.GENESYS_CLIENT_ID, clientSecret: process.env.GENESYS_CLIENT_SECRET },
  topics,
  journal: { path: join(folder, 'journal', 'events.db') },
  manualAck: true,
})

client.on('gap', (gap) => gaps.appendFile(`${JSON.stringify(gap)}\n`))
client.on('state', ({ state, reason }) => console.error(state, reason))
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => client.close({ drainMs: 5_000 }))

client.connect()
for await (const batch of client.batches({ maxEvents: 1_000, maxWaitMs: 200 })) {
  const fresh = batch.filter(({ sequence }) => sequence > events.last)
  if (fresh.length > 0) {
    await events.file.appendFile(fresh.map((event) => `${JSON.stringify(event)}\n`).join(''))
    // On the disk before the journal may forget it.
    await events.file.datasync()
    events.last = fresh.at(-1).sequence
  }
  client.ack(batch.at(-1))
}
await Promise.all([events.file.close(), gaps.close()])

/** The file, and the last sequence in it; what a crash left of half a line is cut off. */
async function openEvents(path) {
  const text = await readFile(path).catch(() => Buffer.alloc(0))
  const end = text.lastIndexOf('\n') + 1
  if (end < text.length) await truncate(path, end)
  const last = text.subarray(0, end).toString().trimEnd().split('\n').at(-1)
  return { file: await open(path, 'a'), last: last ? JSON.parse(last).sequence : 0 }
}
