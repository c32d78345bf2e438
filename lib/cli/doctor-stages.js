'use strict'

/**
 * Later stages imply earlier ones; each is read from the figures of the client and its last error: name, words, and whether it is
 * reached.
 */
const TOKEN = [
  'token',
  'login host reached, credentials accepted',
  // A token that is refused is forgotten.
  (stats, error) => stats.tokenExpiresInMs !== null || ['TOKEN_REJECTED', 'FORBIDDEN'].includes(error?.code),
]
const CHANNEL_STAGES = [
  TOKEN,
  [
    'channel',
    'API host reached, channel created',
    (stats) => stats.channels.some((channel) => channel.expiresInMs !== null),
  ],
  ['topics', 'every topic decided', (stats) => stats.topics.pending === 0],
  ['socket', 'streaming host reached, socket open, pong received', (stats) => stats.state === 'connected'],
]

/** Of a connection to an endpoint, in the order in which it goes through them. */
const LIVES = ['awaitingToken', 'opening', 'authenticating', 'ready', 'subscribing', 'live']

/** Without topics the token is all that can be tried. */
function channelStages(topics) {
  return topics.length > 0 ? CHANNEL_STAGES : CHANNEL_STAGES.slice(0, 1)
}

function endpointStages({ auth, ready, subscribe }, topics) {
  const stages = [
    [
      'socket',
      'host reached, socket open',
      (stats, error) => isFrom('authenticating')(stats) || error?.code === 'NOT_READY',
    ],
    ['live', 'pong received', (stats) => stats.state === 'connected'],
  ]
  if (auth !== 'none') stages.unshift(TOKEN)
  if (ready !== undefined) stages.splice(-1, 0, ['ready', 'the server says so', isFrom('ready')])
  if (subscribe !== undefined && topics.length > 0) {
    stages.splice(-1, 0, ['topics', 'every topic asked for', isFrom('subscribing')])
  }
  return stages
}

function isFrom(life) {
  return ({ direct }) => LIVES.indexOf(direct.life) >= LIVES.indexOf(life)
}

module.exports = { channelStages, endpointStages }
