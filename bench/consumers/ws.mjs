import { EventEmitter, once } from 'node:events'

import { WebSocket } from 'ws'

export async function consume({ source, seen }) {
  const notifications = new EventEmitter()
  notifications.on('event', ({ topicName, eventBody }) => seen(topicName, eventBody))

  const socket = new WebSocket(source.url, { ca: source.certificate })
  socket.on('message', (data) => {
    const event = JSON.parse(data)
    if (event.topicName !== 'channel.metadata') notifications.emit('event', event)
  })
  await once(socket, 'open')
}
