// No client at all: bytes are read and thrown away. What the source, the kernel and libuv cost together.
import { connect } from 'node:net'
import { once } from 'node:events'

export async function consume({ source, count }) {
  const { hostname, port } = new URL(source.url)
  const socket = connect(Number(port), hostname)
  const upgrade = ['GET / HTTP/1.1', `Host: ${hostname}`, 'Connection: Upgrade', 'Upgrade: websocket']
  socket.write([...upgrade, 'Sec-WebSocket-Version: 13', `Sec-WebSocket-Key: ${'A'.repeat(22)}==`, '', ''].join('\r\n'))
  await once(socket, 'data')
  socket.on('data', ({ length }) => count(length))
}
