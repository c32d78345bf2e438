import { ours } from './connect.mjs'

export async function consume({ source, options, seen }) {
  const client = ours(source, options)
  await client.connect()
  read(client.events(), seen)
}

async function read(events, seen) {
  for await (const { topicName, eventBody } of events) seen(topicName, eventBody)
}
