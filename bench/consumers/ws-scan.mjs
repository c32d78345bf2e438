// What a careful user of ws can do where few bodies are read: find the topic in the bytes, parse only what is wanted.
import { EventEmitter, once } from 'node:events'

import { WebSocket } from 'ws'

const PREFIX = '{"topicName":"'

export async function consume({ source, seen }) {
  const notifications = new EventEmitter()
  notifications.on('event', ({ topicName }) => seen(topicName))

  const socket = new WebSocket(source.url, { ca: source.certificate })
  socket.on('message', (data) => {
    const event = new LazyEvent(data)
    if (event.topicName !== 'channel.metadata') notifications.emit('event', event)
  })
  await once(socket, 'open')
}

class LazyEvent {
  #data
  #topicName
  #parsed

  constructor(data) {
    this.#data = data
    if (data.latin1Slice(0, PREFIX.length) === PREFIX) {
      this.#topicName = data.latin1Slice(PREFIX.length, data.indexOf('"', PREFIX.length))
    }
  }

  get topicName() {
    return this.#topicName ?? this.#all.topicName
  }

  get eventBody() {
    return this.#all.eventBody
  }

  get #all() {
    return (this.#parsed ??= JSON.parse(this.#data))
  }
}
