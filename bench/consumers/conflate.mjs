import { ours } from './connect.mjs'

/** Ten a second of each topic at most, and each is read. */
export async function consume({ source, options, seen }) {
  const client = ours({ ...source, topics: [] }, options)
  client.on('event', ({ topicName, eventBody }) => seen(topicName, eventBody))
  const subscribed = client.subscribe(source.topics, { conflate: { maxPerSecond: 10 } })
  await client.connect()
  await subscribed
}
