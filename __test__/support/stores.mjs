import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { createServer as createHttpServer, request as httpRequest } from 'node:http'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { until } from './world.mjs'

export const ACCESS = { accessKeyId: 'stores', secretAccessKey: 'stores-of-a-test' }
export const BUCKET = 'cursors'

const SERVERS = {
  redis: {
    command: 'redis-server',
    args: (port, folder) => [
      '--bind',
      '127.0.0.1',
      '--port',
      port,
      '--dir',
      folder,
      '--save',
      '',
      '--appendonly',
      'no',
    ],
  },
  s3: {
    command: 's3s-fs',
    args: (port, folder) => [
      ...['--host', '127.0.0.1', '--port', port],
      ...['--access-key', ACCESS.accessKeyId, '--secret-key', ACCESS.secretAccessKey, folder],
    ],
  },
}

/** What `test` is to do about a server that is not installed; `STORES=required` makes it fail. */
export function unlessInstalled(name) {
  const { command } = SERVERS[name]
  const isInstalled = spawnSync(command, ['--version']).status === 0
  if (isInstalled || process.env.STORES === 'required') return {}
  return { skip: `${command} is not installed (.ci/run installs it)` }
}

/** A server on a free port with a folder of its own, gone when the test is over. */
export async function storeServer(t, name) {
  const folder = await mkdtemp(join(tmpdir(), `${name}-`))
  t.after(() => rm(folder, { recursive: true, force: true }))
  if (name === 's3') await mkdir(join(folder, BUCKET))
  const { command, args } = SERVERS[name]
  // Somebody else may take the port between the two.
  for (let tries = 1; ; tries++) {
    const port = await freePort()
    const child = spawn(command, args(String(port), folder), { stdio: ['ignore', 'pipe', 'pipe'] })
    t.after(() => child.kill('SIGKILL'))
    let said = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (said += chunk))
    const ended = once(child, 'exit')
    const isUp = await until(
      async () => child.exitCode !== null || (await isListening(port)),
      () => said,
    )
    if (isUp && child.exitCode === null) {
      const stop = async () => {
        child.kill('SIGKILL')
        await ended
      }
      return { port: name === 's3' ? await wholeRequestsOnly(t, port) : port, stop }
    }
    if (tries === 3) throw new Error(`${command} does not start: ${said}`)
  }
}

/**
 * S3 stores an object as a whole or not at all. This server leaves half of one whose sender dies meanwhile, so it is given only
 * requests that have arrived, by somebody who lives.
 */
async function wholeRequestsOnly(t, port) {
  const server = createHttpServer(async (request, response) => {
    try {
      const body = Buffer.concat(await request.toArray())
      const { expect: _, ...headers } = request.headers
      const { method, url: path } = request
      const onward = httpRequest({ host: '127.0.0.1', port, method, path, headers }).end(body)
      const [answer] = await once(onward, 'response')
      response.writeHead(answer.statusCode, answer.headers)
      answer.pipe(response)
    } catch {
      response.destroy()
    }
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  return server.address().port
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  await once(server, 'close')
  return port
}

function isListening(port) {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    const settle = (isUp) => {
      socket.destroy()
      resolve(isUp)
    }
    socket.once('connect', () => settle(true))
    socket.once('error', () => settle(false))
  })
}
