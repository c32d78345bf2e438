/**
 * A fake Genesys Cloud on this machine: OAuth, channels, subscriptions and WebSockets on loopback, with faults and a log
 * of everything that happened. Every default is the real service's value, as far as it is known.
 *
 * A simulator keeps the process alive until it is stopped; `unref()` changes that.
 */
export class Simulator implements AsyncDisposable {
  private constructor()

  /**
   * Starts one on free ports of 127.0.0.1.
   * @throws {ConfigurationError} (as a rejection) naming the option's path.
   */
  static start(options?: SimulatorOptions): Promise<Simulator>

  /**
   * What to give a client as `region`. Below `gateway` are the endpoints `/query`, `/header`, `/first-message`, `/since`,
   * `/minute` and `/open`, for a client's `endpoint.url`; they are not Genesys Cloud's.
   */
  readonly urls: { login: string; api: string; streaming: string; gateway: string }
  /** What to give a client as `credentials`. */
  readonly credentials: { clientId: string; clientSecret: string }
  /** With the option `tls`: the authority to trust, in PEM. What to give a client as `network.ca`. Otherwise undefined. */
  readonly certificate: string | undefined

  /**
   * Publishes an event to whoever is subscribed and connected right now, and returns its number. Without a body one is
   * generated that fits the topic. To gateway connections any text is a topic.
   */
  publish(topic: string, body?: unknown): number

  /** Sets a fault. */
  fault(rule: FaultRule): { id: number; clear(): boolean }
  /** Lifts all faults. */
  clearFaults(): void

  /** Publishes generated events in the background. */
  traffic(traffic: Traffic): { id: number; stop(): boolean }

  /** Everything that happened, or what is new since a log with this `revision`. */
  log(since?: number): SimulatorLog
  /** The totals of `log()`, without copying it. */
  counts(): SimulatorCounts
  /** The live channels, oldest first. */
  channels(): SimulatorChannel[]

  /** Closes every socket and port; the log stays readable. Stopping twice is once. */
  stop(): Promise<void>
  /** The simulator keeps the process alive again (the default). */
  ref(): this
  /** The simulator no longer keeps the process alive. */
  unref(): this
  [Symbol.asyncDispose](): Promise<void>
}

/** What an open socket sees when its channel ends under it. */
export type Ending = 'silence' | 'close' | 'result404'

/** Times are in milliseconds and may be small. Unknown names are refused. */
export interface SimulatorOptions {
  /** Default 0: three free ports, one for each host. Otherwise all three share this one. */
  port?: number
  /**
   * All three hosts speak TLS (`https`, `wss`), with a certificate for 127.0.0.1 and localhost by an authority made for this
   * simulator, see `certificate`. Default false.
   */
  tls?: boolean
  /** Seed of fault probabilities and generated bodies. Default 1. */
  seed?: number
  /** Added to every date the service tells. Default 0. */
  clockSkewMs?: number
  /** Who may ask for tokens. Default: one client with a generated id and secret. */
  clients?: {
    id: string
    secret: string
    userId?: string
    codes?: { code: string; redirectUri?: string }[]
    refreshTokens?: string[]
    assertions?: string[]
  }[]
  /** Life of a token. Default 86,400,000. */
  tokenLifeMs?: number
  /** A new token ends the older ones of its client. Default false. */
  singleToken?: boolean
  /** Status for a wrong id or secret. Default 400. */
  badClientStatus?: 400 | 401
  /** The channels of a token end with it. Default true. */
  channelDiesWithToken?: boolean
  /** Default `'close'`. */
  tokenExpiry?: Ending
  /** Requests per token and window. Default 300. */
  rateLimit?: number
  /** Default 60,000. */
  rateWindowMs?: number
  /** Channel creations per client and window. Default null: no limit of their own. */
  createRateLimit?: number | null
  /** Life of a channel. Default 86,400,000. */
  channelLifeMs?: number
  /** A subscription call starts the channel's life anew. Default true. */
  renewOnSubscribe?: boolean
  /** Default `'close'`. */
  channelExpiry?: Ending
  /** One more evicts the oldest. Default 20. */
  channelsPerClient?: number
  /** An evicted channel's socket is told first. Default true. */
  evictionNotice?: boolean
  /** Another token of the same client uses a channel. Default `'notFound'`. */
  foreignToken?: 'allow' | 'notFound' | 'unableToGetChannel'
  /** Default 1,000. */
  topicsPerChannel?: number
  /** Default 200. */
  topicMaxLength?: number
  /** Unknown topics in a call with `ignoreErrors=true`. Default `'refuse'`. */
  invalidTopics?: 'refuse' | 'reject'
  /** Topics that may not be subscribed. Default none. */
  forbidden?: { topic: string; missingPermissions?: string[]; divisioned?: boolean }[]
  /** Topics that exist on EventBridge only. Default none. */
  eventBridgeOnly?: string[]
  /** Default true. */
  subscribeOverSocket?: boolean
  /** Status of an upgrade on a channel that is gone. Default 404. */
  deadUpgradeStatus?: 404 | 401 | 403
  /** Time between heartbeats. Default 30,000. */
  heartbeatMs?: number
  /** Close with 1001 a socket whose peer sent nothing for so long. Default null: never. */
  idleTimeoutMs?: number | null
  displacedCloseCode?: number
  evictCloseCode?: number
  expiryCloseCode?: number
  /** From the maintenance warning to the close. Default 60,000. */
  maintenanceGraceMs?: number
  maintenanceCloseCode?: number
  /** A peer that leaves so many bytes unread is reset. Default 67,108,864. */
  socketBacklogBytes?: number
  /** Each socket gets a `CorrelationId` of its own for the same event. Default false. */
  correlationPerDelivery?: boolean
  /** The endpoints under `urls.gateway`. */
  gateway?: GatewayOptions
  /** Records kept of each kind. Default 1,000,000. */
  logLimit?: number
}

/** How the gateway endpoints behave, and how strict they are. Nothing of this is Genesys Cloud's: every default is a choice. */
export interface GatewayOptions {
  /** Name of the query parameter that holds the token. Default `'access_token'`. */
  tokenParameter?: string
  /** From an accepted first message to its acknowledgement. Default 0. */
  readyDelayMs?: number
  /**
   * How a connection without a valid token is refused: `'upgrade'` (default) with 401 to the upgrade, to a first message with
   * a close of 4401; `'frame'` with `{"status":401,"error":…}` on a connection that stays open and gets no events.
   */
  badToken?: 'upgrade' | 'frame'
  /**
   * What an open connection sees when its token ends: `'close'` (default) of 4401; `'frame'` with `{"status":401,"error":
   * "token_expired"}`, and no events after it; `'ignore'`: nothing.
   */
  tokenEnd?: 'close' | 'frame' | 'ignore'
  /**
   * What follows a frame that comes before `/first-message` is ready, the first message itself excepted: `'close'` (default)
   * of 1002, or `'ignore'`. It is counted in any case.
   */
  early?: 'close' | 'ignore'
  /** `/since` refuses a connection without a position. Default true. */
  requirePosition?: boolean
  /** How long events are kept for `/since`; older positions are stale. Default 60,000. */
  retentionMs?: number
  /** The most events that are kept for `/since`. Default 20,000. */
  retentionEvents?: number
  /** `/since` begins with the events of the position itself (`>=`), otherwise with those after it (`>`). Default true. */
  inclusive?: boolean
  /** What a position is: the `timestamp` of an event (default), which others may share, or its `sequence`. */
  positions?: 'timestamp' | 'sequence'
  /** As `badToken`, with 400, for a position that is missing, unreadable, unknown or stale. Default `'upgrade'`. */
  stalePosition?: 'upgrade' | 'frame'
  /** Events come as arrays of up to so many, which an event waits 10 ms for. Default null: one by one, without an array. */
  batch?: number | null
  /** `/minute` closes a connection so long after it was opened. Default 60,000. */
  closeEveryMs?: number
  /** With this code. Default 1000. */
  closeCode?: number
  /**
   * Connections to one endpoint in a window, refused ones included; more are answered with 429 and `Retry-After`. Default
   * null: 5 for `/minute`, no limit for the others.
   */
  connectLimit?: number | null
  /** Length of that window. Default 10,000. */
  connectWindowMs?: number
}

/** What must happen for a fault to apply. */
export type FaultOperation =
  /** Any HTTP request, upgrades included. */
  | 'any'
  /** Any request to the API host. */
  | 'rest'
  | 'token'
  | 'availableTopics'
  | 'createChannel'
  | 'listChannels'
  | 'headChannel'
  | 'getSubscriptions'
  | 'postSubscriptions'
  | 'putSubscriptions'
  | 'deleteSubscriptions'
  | 'upgrade'
  /** An open WebSocket, at once. */
  | 'socket'
  /** A channel, connected or not, at once. */
  | 'channel'
  | 'event'
  | 'heartbeat'
  | 'pong'

type Phase = 'request' | 'response'

/** What a fault does. */
export type FaultAction =
  | { kind: 'reset'; phase?: Phase }
  | { kind: 'stall'; ms?: number | null; phase?: Phase }
  | { kind: 'halfOpen'; phase?: Phase }
  | { kind: 'close'; code?: number | null; reason?: string; phase?: Phase }
  | { kind: 'refuse' }
  | { kind: 'delay'; ms: number; phase?: Phase }
  | { kind: 'status'; status: number; retryAfter?: number | string | null; code?: string | null; body?: string | null }
  | { kind: 'truncate'; bytes?: number | null }
  | { kind: 'garbage' }
  | { kind: 'binary' }
  | { kind: 'invalidUtf8' }
  | { kind: 'deep'; levels: number }
  | { kind: 'oversize'; bytes: number }
  | { kind: 'redirect'; to: string; status?: number }
  | { kind: 'connectUri'; uri: string }
  | { kind: 'evict' }
  | { kind: 'expire' }
  | { kind: 'revoke' }
  | { kind: 'socketClosing'; graceMs?: number | null }
  | { kind: 'drop' }
  | { kind: 'duplicate'; count?: number; newCorrelationId?: boolean }
  | { kind: 'reorder'; ms?: number }
  | { kind: 'nullBody' }
  | { kind: 'unknownFields' }
  | { kind: 'missingVersion' }
  | { kind: 'missingMetadata' }
  | { kind: 'bigBody'; bytes: number }
  | { kind: 'fragment'; bytes: number }

export interface FaultRule {
  /** Every given field must fit. */
  match: {
    operation: FaultOperation
    channelId?: string
    /** For `event` only: a full name or a template with `{id}`. */
    topic?: string
    /** Only the n-th occurrence, counted from 1. */
    nth?: number
    /** Only after so many occurrences. */
    after?: number
    /** 0 to 1. */
    probability?: number
  }
  action: FaultAction
  /**
   * How often; null: until cleared. Without it once, which for `socket` and `channel` means once on each one open now, or
   * on the next one if there is none.
   */
  times?: number | null
}

export interface Traffic {
  /** Over all topics; above 0, at most 100,000. */
  ratePerSecond: number
  /**
   * Full names, used at random. Default: whatever is subscribed or asked for; a few topics of users and queues where nothing is
   * and a gateway connection is sent everything.
   */
  topics?: string[]
  /** Ends after so many. Default null: until stopped. */
  count?: number | null
}

export interface SimulatorCounts {
  requests: number
  published: number
  /** Events that were written to at least one socket. */
  delivered: number
  /** Frames written, copies included. */
  deliveries: number
  undelivered: number
  sockets: number
  channels: number
  /** Connections to gateway endpoints, refused ones included. */
  gateway: number
  forgotten: number
}

/** Times are in milliseconds since the epoch, by the simulator's clock. */
export interface SimulatorLog {
  revision: number
  startedAt: number
  now: number
  counts: SimulatorCounts
  requests: {
    id: number
    at: number
    operation: string
    method: string
    path: string
    grant: string | null
    status: number | null
    code: string | null
    client: string | null
    token: string | null
    channel: string | null
    topics: number | null
    correlationId: string | null
    retryAfter: string | null
    durationMs: number | null
    concurrent: number | null
    faults: string[]
  }[]
  events: {
    seq: number
    at: number
    topic: string
    correlationId: string
    bytes: number
    deliveries: {
      channel: string
      socket: number | null
      state: 'queued' | 'written' | 'lost'
      at: number | null
      reason: string | null
      correlationId: string | null
      altered: string[]
    }[]
    reason: string | null
  }[]
  sockets: {
    id: number
    channel: string
    openedAt: number
    endedAt: number | null
    ended: string | null
    closeCode: number | null
    goneAt: number | null
    channelGoneAt: number | null
    stalledAt: number | null
    resumedAt: number | null
    lastInboundAt: number | null
    pings: number
    controlPings: number
    heartbeats: number
    events: number
  }[]
  channels: {
    id: string
    client: string
    token: string
    createdAt: number
    endedAt: number | null
    ended: string | null
  }[]
  /** Connections to gateway endpoints, refused ones included. */
  gateway: {
    id: number
    /** Its entry in `sockets`, if the upgrade was accepted. */
    socket: number | null
    endpoint: 'query' | 'header' | 'first-message' | 'since' | 'minute' | 'open'
    openedAt: number
    /** 101, 400, 401 or 429. */
    status: number
    /** The first token that was presented and is not valid, otherwise `'valid'`. */
    token: 'valid' | 'expired' | 'unknown' | 'none'
    /** What was asked for with `since`, as it came. */
    position: string | null
    readyAt: number | null
    /** Frames that came before the acknowledgement, the first message excepted. */
    earlyFrames: number
    asked: { at: number; topic: string }[]
    /** First messages that were accepted when it was ready already. */
    renewals: number
    endedAt: number | null
    ended: string | null
    closeCode: number | null
    /** Events written, replayed ones and copies included. */
    events: number
    /** Events that were sent again from what is kept. */
    replayed: number
  }[]
  faults: {
    at: number
    fault: number
    kind: string
    operation: string
    channel: string | null
    socket: number | null
    seq: number | null
  }[]
}

export interface SimulatorChannel {
  id: string
  client: string
  token: string
  createdAt: number
  expires: number
  lastUse: number
  connected: boolean
  socket: number | null
  topics: string[]
}
