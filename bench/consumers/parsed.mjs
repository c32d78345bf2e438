import { ours } from './connect.mjs'

export async function consume({ source, options, seen }) {
  const client = ours(source, options)
  client.on('event', ({ topicName, eventBody }) => seen(topicName, eventBody))
  await client.connect()
  return { stats: () => client.stats() }
}
