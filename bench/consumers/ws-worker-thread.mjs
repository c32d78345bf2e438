import { parentPort, workerData } from 'node:worker_threads'

import { WebSocket } from 'ws'

let batch = []

const socket = new WebSocket(workerData.url, { ca: workerData.certificate })
socket.on('open', () => parentPort.postMessage('open'))
socket.on('message', (data) => {
  if (batch.length === 0) setImmediate(post)
  batch.push(data.toString())
})

function post() {
  parentPort.postMessage(batch)
  batch = []
}
