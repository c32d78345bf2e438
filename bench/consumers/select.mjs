import { ours } from './connect.mjs'

/** One field of each body, and it is read. */
export async function consume({ source, options, seen }) {
  const client = ours({ ...source, topics: [] }, options)
  client.on('event', ({ topicName, eventBody }) => seen(topicName, eventBody.id))
  const subscribed = client.subscribe(source.topics, { select: ['id'] })
  await client.connect()
  await subscribed
}
