'use strict'

const { once } = require('node:events')
const { writeFile } = require('node:fs/promises')
const { resolve } = require('node:path')

const { Simulator } = require('../simulator')
const { readNumber } = require('./connection')
const { EXIT, UsageError } = require('./exit')

const usage = '[options]'
const options = {
  port: { type: 'string' },
  tls: { type: 'string' },
  rate: { type: 'string' },
  seconds: { type: 'string' },
  options: { type: 'string' },
}
const details = `Publishes generated events on whatever topics are subscribed. With --json the first line is
{"urls":{"login","api","streaming","gateway"},"credentials":{"clientId","clientSecret"}}. Ends with SIGINT, SIGTERM or after
--seconds. Below urls.gateway are endpoints of the kind gateways have, which are not Genesys Cloud's.

  --port N            One port for all three hosts. Default: three free ones
  --tls FILE          Speak https and wss; the authority to trust is written to this file
  --rate N            Events a second over all topics, 0 for none. Default 5
  --seconds N         End after so long
  --options JSON      Options of the simulator, e.g. '{"tokenLifeMs":60000}'`

async function run({ values, signal, end }) {
  const rate = readNumber(values, 'rate', { min: 0, max: 100_000, fallback: 5 })
  const seconds = readNumber(values, 'seconds', { min: 0, max: 2_000_000, fallback: 0 })
  const port = readNumber(values, 'port', { min: 0, max: 65_535, fallback: 0 })
  const tls = values.tls !== undefined
  const sim = await Simulator.start({ ...readOptions(values.options), port, ...(tls && { tls }) })
  if (tls) await writeFile(values.tls, sim.certificate)
  const { urls, credentials } = sim
  process.stdout.write(values.json ? `${JSON.stringify({ urls, credentials })}\n` : words(sim, values.tls))
  if (rate > 0) sim.traffic({ ratePerSecond: rate })
  if (seconds > 0) setTimeout(end, seconds * 1000)
  if (!signal.aborted) await once(signal, 'abort')
  const { published, delivered, requests, sockets } = sim.counts()
  await sim.stop()
  process.stderr.write(
    `${published} events published, ${delivered} delivered, ${requests} requests, ${sockets} sockets\n`,
  )
  return EXIT.done
}

function readOptions(text) {
  if (text === undefined) return {}
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new UsageError(`--options is not JSON: ${error.message}`)
  }
}

function words({ urls, credentials }, authority) {
  const lines = Object.entries({
    GENESYS_LOGIN_URL: urls.login,
    GENESYS_API_URL: urls.api,
    GENESYS_STREAMING_URL: urls.streaming,
    GENESYS_GATEWAY_URL: urls.gateway,
    GENESYS_CLIENT_ID: credentials.clientId,
    GENESYS_CLIENT_SECRET: credentials.clientSecret,
    ...(authority !== undefined && { GENESYS_CA_FILE: resolve(authority) }),
  }).map(([name, value]) => `export ${name}=${value}`)
  const endpoint = {
    url: `${urls.gateway}/since`,
    event: { id: '/id' },
    resume: { parameter: 'since', pointer: '/timestamp' },
  }
  return `A fake Genesys Cloud is running. In another shell:
${lines.join('\n')}
genesys-cloud-notifications listen v2.users.7a1e.presence

Or a gateway that resumes, which is not Genesys Cloud's own protocol:
echo '${JSON.stringify(endpoint)}' > gateway.json
genesys-cloud-notifications listen --endpoint gateway.json --cursor gateway.cursor
`
}

module.exports = { usage, options, details, run }
