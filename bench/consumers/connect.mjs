import { NotificationClient } from '../../index.js'

/** A client of ours that is not connected yet. */
export function ours({ region, credentials, topics, certificate }, options) {
  return new NotificationClient({ region, credentials, topics, network: { ca: certificate }, ...options })
}
