import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

import { ConfigurationError, NotificationClient } from '../index.js'
import { TOPIC, clientOf, environment, simulator, until } from './support/world.mjs'

const CLI = fileURLToPath(new URL('../bin/genesys-cloud-notifications.js', import.meta.url))

async function directory(t) {
  const path = await mkdtemp(join(tmpdir(), 'tls-'))
  t.after(() => rm(path, { recursive: true }))
  return path
}

/** Publishes until an event arrives. */
async function receives(sim, client) {
  await client.connect()
  const event = once(client, 'event')
  let arrived = false
  event.then(() => (arrived = true))
  await until(() => arrived || !sim.publish(TOPIC, { id: 'u' }), 'an event over TLS')
}

async function firstError(client) {
  const error = once(client, 'error')
  client.connect()
  const [told] = await error
  return told
}

test('a private authority is trusted as a string, a Buffer or one of several', async (t) => {
  const [sim, other] = await Promise.all([simulator(t, { tls: true }), simulator(t, { tls: true })])
  assert.match(sim.urls.api, /^https:/)
  assert.match(sim.urls.streaming, /^wss:/)
  const { certificate } = sim
  const ways = [
    certificate,
    Buffer.from(certificate),
    `subject=CN = Simulator authority\r\n${certificate.replaceAll('\n', '\r\n')}`,
    [other.certificate, Buffer.from(`\u{1f512}\n${certificate}`)],
    `${other.certificate}${certificate}`,
  ]
  for (const ca of ways) await receives(sim, clientOf(t, sim, { network: { ca } }))
})

test('without it nothing is sent, and the error says what may help', async (t) => {
  const [sim, other] = await Promise.all([simulator(t, { tls: true }), simulator(t, { tls: true })])
  for (const network of [undefined, { ca: [] }, { ca: other.certificate }]) {
    const error = await firstError(clientOf(t, sim, { network }))
    assert.equal(error.code, 'TLS_ERROR')
    assert.match(error.message, /invalid peer certificate/)
    assert.match(error.hint, /network\.ca/)
  }
  assert.equal(sim.counts().requests, 0)
})

test('what NODE_EXTRA_CA_CERTS names is trusted too; a file that cannot be used is a warning', async (t) => {
  const before = process.env.NODE_EXTRA_CA_CERTS
  t.after(() => {
    if (before === undefined) delete process.env.NODE_EXTRA_CA_CERTS
    else process.env.NODE_EXTRA_CA_CERTS = before
  })
  const [sim, other] = await Promise.all([simulator(t, { tls: true }), simulator(t, { tls: true })])
  const path = await directory(t)
  const good = join(path, 'good.pem')
  await writeFile(good, sim.certificate)
  process.env.NODE_EXTRA_CA_CERTS = good
  await receives(sim, clientOf(t, sim))
  await receives(other, clientOf(t, other, { network: { ca: other.certificate } }))

  const bad = join(path, 'bad.pem')
  await writeFile(bad, 'nothing')
  for (const [file, words] of [
    [bad, /bad\.pem holds no certificate/],
    [join(path, 'missing.pem'), /missing\.pem .*os error 2/],
  ]) {
    process.env.NODE_EXTRA_CA_CERTS = file
    const lines = []
    const logger = { debug() {}, info() {}, warn: (line) => lines.push(line), error() {} }
    await receives(sim, clientOf(t, sim, { logger, network: { ca: sim.certificate } }))
    const warning = await until(() => lines.find((line) => line.startsWith('NODE_EXTRA_CA_CERTS is ignored')))
    assert.match(warning, words)
  }
})

test('what is no certificate is refused by the name of the option', async (t) => {
  const { certificate } = await simulator(t, { tls: true })
  const key = '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n'
  const der = Buffer.from(certificate.split('-----')[2], 'base64')
  const wrong = [
    [5, 'network.ca', /must be PEM, as a string or a Buffer, not a number/],
    [[certificate, {}], 'network.ca[1]', /not an object/],
    ['/etc/ssl/company.pem', 'network.ca', /looks like a path/],
    [[certificate, key], 'network.ca[1]', /private key/],
    [der, 'network.ca', /is DER/],
    [certificate.slice(0, 200), 'network.ca', /ends within/],
  ]
  for (const [ca, path, words] of wrong) {
    assert.throws(
      () =>
        new NotificationClient({
          region: 'us-east-1',
          credentials: { clientId: 'i', clientSecret: 's' },
          network: { ca },
        }),
      (error) => error instanceof ConfigurationError && error.path === path && words.test(error.message),
      String(ca).slice(0, 40),
    )
  }
})

test('commands take files of authorities', async (t) => {
  const path = join(await directory(t), 'authority.pem')
  const clean = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('GENESYS_')))
  const run = (args, env) => spawn(process.execPath, [CLI, ...args], { env: { ...clean, ...env } })
  const other = `${path}.other`
  await writeFile(other, (await simulator(t, { tls: true })).certificate)
  const simulate = run(['simulate', '--json', '--tls', path])
  t.after(() => simulate.kill())
  const [line] = await once(createInterface({ input: simulate.stdout }), 'line')
  const env = environment(JSON.parse(line))
  const doctor = async (args, more) => {
    const child = run(['doctor', TOPIC, '--json', ...args], { ...env, ...more })
    const said = { stdout: '', stderr: '' }
    for (const name of ['stdout', 'stderr']) child[name].on('data', (chunk) => (said[name] += chunk))
    const [code] = await once(child, 'close')
    return { code, ...said }
  }
  for (const [args, more] of [[['--ca', path]], [['--ca', other, '--ca', path]], [[], { GENESYS_CA_FILE: path }]]) {
    const { code, stdout, stderr } = await doctor(args, more)
    assert.equal(code, 0, stdout + stderr)
  }
  const untrusted = await doctor([])
  assert.equal(untrusted.code, 5, untrusted.stdout)
  assert.match(untrusted.stdout, /TLS_ERROR.*network\.ca/)
  for (const [args, more] of [[['--ca', `${path}.not`]], [[], { GENESYS_CA_FILE: `${path}.not` }]]) {
    const { code, stderr } = await doctor(args, more)
    assert.equal(code, 2)
    assert.match(stderr, /GENESYS_CA_FILE \(or --ca\): ENOENT/)
  }
})
