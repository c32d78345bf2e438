import { ours } from './connect.mjs'

export async function consume({ source, options, seen }) {
  const client = ours(source, options)
  await client.connect()
  read(client.batches(), seen)
}

async function read(batches, seen) {
  for await (const batch of batches) {
    for (const { topicName, eventBody } of batch) seen(topicName, eventBody)
  }
}
