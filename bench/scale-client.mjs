// The process that has the channels: connects, then stays idle and says what that took.
import { once } from 'node:events'
import process from 'node:process'
import { setTimeout as delay } from 'node:timers/promises'

process.once('disconnect', () => process.exit())
const [{ sockets, certificate, heartbeat, idleMs, ...options }] = await once(process, 'message')
const begin = performance.now()
if (sockets === undefined) {
  const { NotificationClient } = await import('../index.js')
  const client = new NotificationClient({ ...options, heartbeat, network: { ca: certificate } })
  client.on('error', (error) => {
    // That all 20 channels are needed is meant here.
    if (error.code !== 'TOO_MANY_CHANNELS') throw error
  })
  await client.connect()
} else {
  const { WebSocket } = await import('ws')
  const opened = sockets.map((uri) => {
    const socket = new WebSocket(uri, { ca: certificate })
    socket.on('message', (data) => JSON.parse(data))
    return once(socket, 'open')
  })
  await Promise.all(opened)
}
const connectMs = performance.now() - begin
// What starting has left behind is not what a channel costs.
for (let i = 0; i < 3; i++) {
  await delay(50)
  globalThis.gc()
}
const before = process.cpuUsage()
await delay(idleMs)
const { user, system } = process.cpuUsage(before)
process.send({ connectMs, megabytes: process.memoryUsage.rss() / 2 ** 20, cpuMs: (user + system) / 1_000 })
