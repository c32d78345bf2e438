// Node's own WebSocket; before Node 22 behind --experimental-websocket.
import { EventEmitter, once } from 'node:events'

export async function consume({ source, seen }) {
  const notifications = new EventEmitter()
  notifications.on('event', ({ topicName, eventBody }) => seen(topicName, eventBody))

  const socket = new globalThis.WebSocket(source.url)
  socket.onmessage = ({ data }) => {
    const event = JSON.parse(data)
    if (event.topicName !== 'channel.metadata') notifications.emit('event', event)
  }
  await once(socket, 'open')
}
