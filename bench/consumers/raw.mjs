import { ours } from './connect.mjs'

export async function consume({ source, options, seen }) {
  const client = ours(source, options)
  client.on('event', ({ topicName, raw }) => seen(topicName, raw))
  await client.connect()
}
