// A CommonJS consumer: names resolve through the package's own exports.
import { ConfigurationError, NotificationClient, topic } from 'genesys-cloud-notifications'
import { Simulator } from 'genesys-cloud-notifications/simulator'

const names: string[] = [topic('v2.users.{id}.presence', 'u')]
export const client = new NotificationClient({
  region: 'us-east-1',
  credentials: { clientId: 'i', clientSecret: 's' },
  topics: names,
})
export const started: Promise<Simulator> = Simulator.start({ heartbeatMs: 100 })
export const isOptionError = (error: unknown): error is ConfigurationError => error instanceof ConfigurationError
