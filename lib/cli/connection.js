'use strict'

const { readFileSync } = require('node:fs')

const { UsageError } = require('./exit')

/** Flags of every command that connects, and the environment variables they stand for. */
const FLAGS = {
  'client-id': 'GENESYS_CLIENT_ID',
  'client-secret': 'GENESYS_CLIENT_SECRET',
  region: 'GENESYS_REGION',
  'login-url': 'GENESYS_LOGIN_URL',
  'api-url': 'GENESYS_API_URL',
  'streaming-url': 'GENESYS_STREAMING_URL',
  topics: 'GENESYS_TOPICS',
}

const CONNECTION = {
  ...Object.fromEntries(Object.keys(FLAGS).map((name) => [name, { type: 'string' }])),
  ca: { type: 'string', multiple: true },
}

const CONNECTION_HELP = `  --region            Region, as in us-east-1 or mypurecloud.ie    GENESYS_REGION
  --login-url         Base URLs instead of a region                GENESYS_LOGIN_URL
  --api-url                                                        GENESYS_API_URL
  --streaming-url                                                  GENESYS_STREAMING_URL
  --client-id         OAuth client (client credentials)            GENESYS_CLIENT_ID
  --client-secret     Better in the environment: arguments are     GENESYS_CLIENT_SECRET
                      visible to other users of the machine
  --ca FILE           Trust these authorities, too (PEM). More      GENESYS_CA_FILE
                      than once for more files
  --topics            More topics, separated by commas or spaces   GENESYS_TOPICS`

function given(values, env, flag) {
  const value = values[flag] ?? env[FLAGS[flag]]
  return value === '' ? undefined : value
}

/** `{ region, credentials, network }` of flags and environment, as far as an endpoint, if there is one, needs them. */
function readConnection(values, env, endpoint) {
  const network = { ca: readAuthorities(values, env) }
  if (endpoint?.auth === 'none') return { network }
  const region = endpoint === undefined ? readRegion(values, env) : readLogin(values, env)
  const credentials = { clientId: given(values, env, 'client-id'), clientSecret: given(values, env, 'client-secret') }
  for (const [flag, value] of [
    ['client-id', credentials.clientId],
    ['client-secret', credentials.clientSecret],
  ]) {
    if (value === undefined) throw new UsageError(`${FLAGS[flag]} (or --${flag}) is needed`)
  }
  return { region, credentials, network }
}

function readAuthorities(values, env) {
  const files = values.ca ?? [env.GENESYS_CA_FILE].filter(Boolean)
  return files.map((file) => {
    try {
      return readFileSync(file)
    } catch (error) {
      throw new UsageError(`GENESYS_CA_FILE (or --ca): ${error.message}`)
    }
  })
}

function readRegion(values, env) {
  const [login, api, streaming] = ['login-url', 'api-url', 'streaming-url'].map((flag) => given(values, env, flag))
  if (login === undefined && api === undefined && streaming === undefined) {
    const region = given(values, env, 'region')
    if (region === undefined)
      throw new UsageError('GENESYS_REGION (or --region), or GENESYS_LOGIN_URL and GENESYS_API_URL, is needed')
    return region
  }
  if (login === undefined || api === undefined)
    throw new UsageError('GENESYS_LOGIN_URL and GENESYS_API_URL are needed together')
  return streaming === undefined ? { login, api } : { login, api, streaming }
}

/** Of an endpoint: where tokens are had is enough. */
function readLogin(values, env) {
  const [login, api] = ['login-url', 'api-url'].map((flag) => given(values, env, flag))
  if (login !== undefined) return { login, api }
  const region = given(values, env, 'region')
  if (region === undefined)
    throw new UsageError('GENESYS_REGION (or --region), or GENESYS_LOGIN_URL (or --login-url), is needed for a token')
  return region
}

/** Topics of arguments, flag and environment. */
function readTopics(values, env, positionals) {
  const listed = given(values, env, 'topics') ?? ''
  return [...positionals, ...listed.split(/[\s,]+/).filter((name) => name !== '')]
}

/** Whether the environment describes a real organisation completely. */
function isConfigured(env) {
  const names = ['GENESYS_CLIENT_ID', 'GENESYS_CLIENT_SECRET', 'GENESYS_TOPICS']
  return names.every((name) => env[name]) && Boolean(env.GENESYS_REGION || env.GENESYS_LOGIN_URL)
}

/** A number of a flag, refused outside of a range. */
function readNumber(values, flag, { min, max, fallback }) {
  if (values[flag] === undefined) return fallback
  const value = Number(values[flag])
  if (!(value >= min && value <= max))
    throw new UsageError(`--${flag} must be between ${min} and ${max}, not "${values[flag]}"`)
  return value
}

module.exports = { CONNECTION, CONNECTION_HELP, isConfigured, readConnection, readNumber, readTopics }
