// The routing status of many agents, for a wallboard: any number of agents, spread over as many channels as it takes.
//
//   GENESYS_REGION=us-east-1 GENESYS_CLIENT_ID=… GENESYS_CLIENT_SECRET=… node examples/wallboard.mjs <agent ids…>
//
// While the stream is down the board says since when it is stale, instead of showing old numbers as if they were new.

import { NotificationClient, topic } from 'genesys-cloud-notifications'

const agents = process.argv.slice(2)
if (agents.length === 0) {
  console.error('usage: node examples/wallboard.mjs <agent ids…>')
  process.exit(2)
}

const { GENESYS_REGION, GENESYS_LOGIN_URL, GENESYS_API_URL, GENESYS_STREAMING_URL } = process.env
const client = new NotificationClient({
  region: GENESYS_API_URL
    ? { login: GENESYS_LOGIN_URL, api: GENESYS_API_URL, streaming: GENESYS_STREAMING_URL }
    : GENESYS_REGION,
  credentials: { clientId: process.env.GENESYS_CLIENT_ID, clientSecret: process.env.GENESYS_CLIENT_SECRET },
  topics: agents.map((id) => topic('v2.users.{id}.routingStatus', id)),
})

const statusOf = new Map()
let staleSince

client.on('event', ({ eventBody }) => statusOf.set(eventBody.id, eventBody.routingStatus?.status))
client.on('gap', ({ from, to }) => (staleSince = to === null ? (staleSince ?? from) : undefined))
client.on('topic', ({ topic, state, missingPermissions }) => {
  if (state === 'rejected') console.error('cannot watch', topic, missingPermissions ?? '')
})
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => client.close())

await client.connect()
const board = setInterval(() => {
  const counts = {}
  for (const status of statusOf.values()) counts[status] = (counts[status] ?? 0) + 1
  const age = staleSince === undefined ? 'live' : `stale for ${Math.round((Date.now() - staleSince) / 1000)} s`
  console.log(age, counts)
}, 1_000)
client.on('state', ({ state }) => {
  if (state === 'closed' || state === 'failed') clearInterval(board)
})
