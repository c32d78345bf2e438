// ws in a worker, which posts texts in batches; they are parsed here.
import { EventEmitter, once } from 'node:events'
import { Worker } from 'node:worker_threads'

export async function consume({ source, seen }) {
  const notifications = new EventEmitter()
  notifications.on('event', ({ topicName, eventBody }) => seen(topicName, eventBody))

  const worker = new Worker(new URL('ws-worker-thread.mjs', import.meta.url), { workerData: source })
  await once(worker, 'message')
  worker.on('message', (batch) => {
    for (const text of batch) {
      const event = JSON.parse(text)
      if (event.topicName !== 'channel.metadata') notifications.emit('event', event)
    }
  })
}
