import { NotificationClient } from '../../index.js'
import { QUICK } from './world.mjs'

export const ASK = '{"message":"subscribe","topic":"{topic}"}'
export const READY = { pointer: '/event', equals: 'connected' }
export const SINCE = { parameter: 'since', pointer: '/timestamp' }

/** How the simulator's gateway is spoken to, one endpoint for each of its handshakes. */
export const endpoints = ({ urls: { gateway } }) => ({
  query: { url: `${gateway}/query` },
  inUrl: { url: `${gateway}/query?x=1&access_token={token}` },
  header: { url: `${gateway}/header`, auth: 'header' },
  firstMessage: { url: `${gateway}/first-message`, auth: 'firstMessage', ready: READY, subscribe: { message: ASK } },
  since: { url: `${gateway}/since`, event: { id: '/id' }, resume: SINCE },
  open: { url: `${gateway}/open`, auth: 'none' },
})

/** A client of an endpoint, gone when the test is over. */
export function directClient(t, sim, endpoint, options) {
  const client = new NotificationClient(directOptions(sim, endpoint, options))
  t.after(() => client.close())
  return client
}

export function directOptions(sim, endpoint, options) {
  const access = { region: { login: sim.urls.login }, credentials: sim.credentials }
  return { ...(endpoint.auth !== 'none' && access), endpoint, ...QUICK, ...options }
}

/** A cursor in memory, which says how often it was asked and what it was given; `load` and `save` may be replaced. */
export class MemoryStore {
  kept = null
  loads = 0
  saves = []

  async load() {
    this.loads++
    return this.kept
  }

  async save(cursor) {
    this.saves.push(cursor)
    this.kept = cursor
  }

  /** The position in what was saved last. */
  get position() {
    return this.kept === null ? null : JSON.parse(this.kept).position
  }
}

export const positionOf = ({ raw }) => JSON.parse(raw).timestamp
