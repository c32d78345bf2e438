import { once } from 'node:events'

import { WebSocket } from 'ws'

/** About as much as a processor keeps at hand. */
const KEPT_BYTES = 1_000_000

/**
 * For what is measured without a socket: keeps what `prepare` makes of the first events that come to warm up, and does
 * `work` with one after another.
 */
export async function withFrames({ source, count }, prepare, work) {
  const kept = []
  let bytes = 0
  const socket = new WebSocket(source.url, { ca: source.certificate })
  socket.on('message', (data) => {
    const { topicName, eventBody } = JSON.parse(data)
    if (topicName === 'channel.metadata') return
    if (bytes < KEPT_BYTES) kept.push(prepare(eventBody, data))
    bytes += data.length
    count(1)
  })
  await once(socket, 'open')
  return {
    repeat(times) {
      for (let i = 0; i < times; i++) work(kept[i % kept.length])
      count(times)
    },
  }
}
