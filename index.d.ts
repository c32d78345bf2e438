// The public surface, written by hand; `__test__/types.test.mjs` proves that it is what runs.
import type { Server } from 'node:http'

/**
 * A client keeps the notification stream of one organisation whole: it subscribes, reconnects, replaces channels before
 * they end, and reports every stretch of time in which events may have been missed.
 *
 * Create it, add listeners or iterate over `events()`, then `connect()`. A connected client keeps the process alive;
 * `unref()` changes that, `close()` ends it.
 */
export class NotificationClient implements AsyncDisposable {
  /**
   * Connects nothing yet.
   * @throws {ConfigurationError} naming the option's `path`.
   */
  constructor(options: NotificationClientOptions | DirectClientOptions)

  /** The state now. `closed` and `failed` are terminal: nothing leaves them. */
  readonly state: ClientState

  /**
   * Starts connecting, once; every call waits for the same thing.
   *
   * Resolves when every accepted topic is live. Rejects only when the client fails, is closed, or the signal aborts;
   * an abort ends the waiting, not the connecting: that is `close()`. May be left without `await`: what goes wrong is
   * also told by `'state'` and `'error'`.
   */
  connect(options?: { signal?: AbortSignal }): Promise<void>

  /**
   * Adds topics to the wanted ones. Resolves with their statuses when each is subscribed or rejected; before `connect()`
   * at once, with `pending`. A rejected topic is a status, not an error. Names may be combined
   * (`v2.users.<id>?presence&station`): each single topic has its own status. Asking twice is asking once.
   *
   * With an `endpoint` names are whatever its server takes: any text of 1 to 1,000 characters without control characters, each
   * one topic.
   *
   * The options are in force for every event that is delivered from then on. They replace those that these topics had (`{}`
   * removes them); a call without options leaves them alone, and a topic that is no longer wanted forgets them. They are not
   * kept in a journal: the next process has to say them again, before it asks for events or connects.
   * @throws {ConfigurationError} (as a rejection) if a name is no topic; then nothing changes.
   * @throws {ClosedError} (as a rejection) if the client is closed or failed.
   */
  subscribe(topics: TopicLike | Iterable<TopicLike>, options?: SubscribeOptions): Promise<TopicStatus[]>

  /** Removes topics from the wanted ones. Those that were not wanted are ignored. Errors as with `subscribe`. */
  unsubscribe(topics: TopicLike | Iterable<TopicLike>): Promise<void>

  /** Wants exactly these topics. Resolves and rejects like `subscribe`. */
  setTopics(topics: TopicLike | Iterable<TopicLike>): Promise<TopicStatus[]>

  /** Every wanted topic and where it stands. */
  topics(): TopicStatus[]

  /**
   * Listens. Every listener hears every event: one that throws, or rejects, is reported as `'error'` with the code
   * `LISTENER_FAILED`, and the next event follows all the same. With a `journal` or a `cursor` an event counts as acknowledged when
   * all its listeners have returned, or thrown; that a promise of theirs is still pending is not waited for: asynchronous
   * work belongs into an iterator, or calls for `manualAck`. An `'error'` that nobody listens for is logged, at most
   * once a minute for each code, and never thrown. Whoever throws from an `'error'` listener means it: that becomes an
   * `uncaughtException`.
   */
  on<E extends keyof NotificationClientEvents>(
    event: E,
    listener: (...args: NotificationClientEvents[E]) => void | Promise<void>,
  ): this
  once<E extends keyof NotificationClientEvents>(
    event: E,
    listener: (...args: NotificationClientEvents[E]) => void | Promise<void>,
  ): this
  off<E extends keyof NotificationClientEvents>(
    event: E,
    listener: (...args: NotificationClientEvents[E]) => void | Promise<void>,
  ): this
  addListener<E extends keyof NotificationClientEvents>(
    event: E,
    listener: (...args: NotificationClientEvents[E]) => void | Promise<void>,
  ): this
  removeListener<E extends keyof NotificationClientEvents>(
    event: E,
    listener: (...args: NotificationClientEvents[E]) => void | Promise<void>,
  ): this
  prependListener<E extends keyof NotificationClientEvents>(
    event: E,
    listener: (...args: NotificationClientEvents[E]) => void | Promise<void>,
  ): this
  prependOnceListener<E extends keyof NotificationClientEvents>(
    event: E,
    listener: (...args: NotificationClientEvents[E]) => void | Promise<void>,
  ): this
  removeAllListeners(event?: keyof NotificationClientEvents): this
  listenerCount(event: keyof NotificationClientEvents): number
  eventNames(): (string | symbol)[]
  setMaxListeners(n: number): this
  getMaxListeners(): number

  /**
   * The events, in order. Ends when the client is closed; throws the client's error when it failed, and the signal's
   * reason when that aborts.
   *
   * Every iterator and every `'event'` listener gets every event from when it began. While nobody is there, events wait
   * in the queue; a slow iterator holds back all (see `queue`). What an iterator has not read when it is left goes to
   * the next consumer, if it was the only one.
   *
   * With a `journal` or a `cursor`, asking for the next event acknowledges those given before, unless `manualAck`. An iterator
   * that is left has not acknowledged the event it gave last; the next acknowledgement of a later one covers it. After `close()`
   * an iterator ends at once: what it had not given stays in the journal, and is delivered again by the next client of
   * it; or lies behind the cursor, and the next client asks the server for it.
   */
  events(options?: { signal?: AbortSignal }): AsyncIterableIterator<NotificationEvent>

  /**
   * The events in arrays that are never empty; with `raw` as JSON lines in one buffer, parsed by nobody on the way.
   * Otherwise like `events()`.
   */
  batches(options: BatchOptions & { raw: true }): AsyncIterableIterator<RawBatch>
  batches(options?: BatchOptions & { raw?: false }): AsyncIterableIterator<NotificationEvent[]>
  batches(options?: BatchOptions): AsyncIterableIterator<NotificationEvent[] | RawBatch>

  /**
   * With `manualAck`: acknowledges this event and all before it. What is not acknowledged is delivered again, marked
   * `redelivered`, by the next client of the same journal. Reaches the disk with the next commit, within 50 ms. With a
   * `cursor` it is what may be saved.
   * @param upTo An event of this client (not one of `replay()`), or the sequence of an event it has delivered.
   * @throws {ConfigurationError} without `manualAck`, and if `upTo` is neither.
   * @throws {ClosedError} once the client has ended.
   */
  ack(upTo: NotificationEvent | number): void

  /**
   * The events of the journal from `from` (included) to `to` (not included; without it to what is on disk at the end), as
   * they were received, with `origin: 'replay'`. Acknowledged events are there for `journal.maxAgeMs`. A `Date` is a time
   * of receipt, a number a sequence. Reads off the JavaScript thread, no further ahead than a page; allowed in every
   * state, `closed` included; acknowledges nothing.
   * @throws {ConfigurationError} without a journal, and if a bound cannot be used.
   * @throws {JournalError} (when iterating) if the journal cannot be read.
   */
  replay(options: { from: Date | number; to?: Date | number }): AsyncIterableIterator<NotificationEvent>

  /**
   * The last 1,000 closed gaps and every open one, oldest first; fewer closed ones if they name more than 100,000 topics
   * together.
   */
  gaps(): Gap[]

  /** Figures at this moment, as a plain object. */
  stats(): ClientStats

  /** Whether all is well, and if not, why. */
  health(): Health

  /** The figures in Prometheus' text format. */
  metrics(): string

  /**
   * Serves `/health` (503 if `down`), `/live` (503 only if `closed` or `failed`), `/ready` (503 unless `connected`) and
   * `/metrics`. The server keeps no process alive, and `close()` closes it.
   */
  serveHealth(options?: {
    /** Default 0: any free port. 0 to 65,535. */
    port?: number
    /** Default `'127.0.0.1'`. */
    host?: string
  }): Promise<Server>

  /**
   * Replaces every channel by a new one, overlapped: nothing is lost. Resolves when none of the old ones is in use.
   * Rejects before `connect()`.
   */
  rotate(): Promise<void>

  /**
   * Drops every socket and starts again on new channels, without backoff: a gap. Resolves when connected again. Rejects
   * before `connect()`.
   */
  reconnect(): Promise<void>

  /**
   * Ends the client. Idempotent, allowed in every state; resolves when no socket, timer or thread is left, within about
   * two seconds and `drainMs`; a `journal` or a `cursor` may take up to 5 s more for the last commit or save.
   */
  close(options?: {
    /**
     * How long events that have already arrived may still be handed over (and, with a journal or a cursor, acknowledged), in
     * milliseconds; ends as soon as there are none. Default 0: those not handed over yet are given up (an iterator still gives what it holds), stay in the
     * journal if there is one, or lie behind the cursor. 0 to 3,600,000.
     */
    drainMs?: number
  }): Promise<void>

  /** The client keeps the process alive again (the default), from `connect()` until it is closed or has failed. */
  ref(): this
  /** The client no longer keeps the process alive. */
  unref(): this

  /** `close()`. */
  [Symbol.asyncDispose](): Promise<void>
}

/** What a listener is called with. */
export interface NotificationClientEvents {
  /** A notification. */
  event: [event: NotificationEvent]
  /** The state changed, or a new attempt begins in the same state. */
  state: [change: StateChange]
  /**
   * A gap opened (`to` is null) or closed. Always heard before the first event after it. With `backfill` a closed gap is
   * told once more, after the events that fill it.
   */
  gap: [gap: Gap]
  /** A topic's status changed. */
  topic: [status: TopicStatus]
  /** Something failed. What can be mended is being mended; `'state'` says when the client gives up. */
  error: [error: NotificationError]
}

/**
 * A topic: its name, as in `'v2.users.<id>.presence'`, or anything that has the name as `topic` (a `TopicStatus`, say).
 */
export type TopicLike = string | { readonly topic: string }

/** What is done to the events of topics before they cross into JavaScript. */
export interface SubscribeOptions {
  /**
   * Bodies are cut down to these paths: `'id'`, `'participants.purpose'`. What a path ends at is kept whole; of the objects on
   * the way only what is named is; arrays are passed through, every object or array in them cut down, other items left out; what
   * is missing is left out. A dot in a name is written `\\.` in JavaScript source (`'a\\.b'`), a backslash `'\\\\'`. `raw` shows
   * the frame with the cut body; a journal, and `replay()`, have it whole. Default: whole bodies. 1 to 100 paths of at most 64
   * names; anything else is refused.
   */
  select?: readonly string[]
  /**
   * Of each topic the first event is delivered at once, then the latest at most this often; the last one always arrives, within
   * `1 / maxPerSecond` seconds. `stats().conflated` counts the others, which are neither dropped nor a gap. Not with a
   * `journal` or a `cursor`, which promise every event. Default: every event. Rounded down to what whole milliseconds between two events
   * allow; 0.01 to 1,000.
   */
  conflate?: { maxPerSecond: number }
}

export type ClientState =
  | 'idle'
  | 'connecting'
  | 'connected'
  | 'reconnecting'
  /** Still retrying, for more than 120 s. */
  | 'suspended'
  | 'closing'
  | 'closed'
  /** What retrying cannot mend: refused credentials, every topic refused. */
  | 'failed'

/** Why something happened. */
export type Reason =
  | 'requested'
  | 'live'
  | 'socket_closed'
  | 'connection_lost'
  | 'silence'
  | 'clock_jump'
  | 'maintenance'
  | 'channel_gone'
  | 'channel_evicted'
  | 'channel_expiring'
  | 'token_renewed'
  | 'token_rejected'
  | 'token_unavailable'
  | 'rate_limited'
  | 'service_unavailable'
  | 'unreachable'
  | 'protocol_violation'
  | 'unreadable_frame'
  | 'queue_full'
  | 'topic_rejected'
  | 'credentials'
  | 'all_topics_rejected'
  /** No client of the journal was running. */
  | 'process_down'
  /** The journal was full: events were evicted, or the client failed, as `journal.onFull` says. */
  | 'journal_full'
  /** The journal cannot be written. */
  | 'journal_failed'
  /** The service's list of a channel's subscriptions, read back, lacked topics. */
  | 'subscription_mismatch'
  /** The endpoint did not say in time that the connection is ready; see `endpoint.ready`. */
  | 'not_ready'
  /** The endpoint does not know the position from which it was to go on: what came since is lost. */
  | 'position_refused'
  /** The cursor could not be loaded. */
  | 'cursor_unavailable'
/** The service allows 20 channels per client and user, and they are in use. */

/**
 * One notification, with the service's own names. The members are getters: a body is parsed when it is first read, and
 * kept. `JSON.stringify` and `util.inspect` show all but `raw` and `channelId`; copying with `{ ...event }` shows nothing.
 *
 * An event that is kept also keeps the batch it came in, at most 64 KB (or itself, if larger).
 */
export class NotificationEvent {
  private constructor()
  readonly topicName: string
  readonly eventBody: any
  /** As sent: `'2'` at present. */
  readonly version?: string
  readonly metadata?: { CorrelationId?: string; [name: string]: unknown }
  /**
   * The frame as JSON text, its body cut down if the topic has `select`. Characters beyond Latin-1 are written as `\u`
   * escapes, line breaks between tokens as spaces; nothing else is changed.
   */
  readonly raw: string
  /**
   * Counts the events of this client, from 1. With a journal it counts those of the journal: it strictly rises from one
   * process to the next, may jump, and is never used twice; a redelivered event keeps its own.
   */
  readonly sequence: number
  /** When it was read from the socket, in milliseconds since the epoch. */
  readonly receivedAt: number
  /** From a channel now, from the REST API to fill a gap, or from `replay()`. */
  readonly origin: 'live' | 'backfill' | 'replay'
  /** It was delivered before, perhaps, and not acknowledged: the process ended. Absent otherwise. */
  readonly redelivered?: true
  /**
   * The channel it came on. Enough to open that channel: treat it as a secret. Without a channel of today a word for it:
   * `earlier-3` (the third channel of the journal), `backfill`, `endpoint`.
   */
  readonly channelId: string
  toJSON(): Record<string, unknown>
}

export interface TopicStatus {
  /** The single topic. */
  topic: string
  state: 'pending' | 'subscribed' | 'rejected'
  /** The service's words, when rejected. */
  reason?: string
  /** What is missing, when rejected and known, e.g. `['telephony:otherStationAssociation:view']`. */
  missingPermissions?: string[]
  /** Which channel in use carries it, from 0. */
  shard: number
  /** As given to `subscribe()`; only in what `topics()`, `subscribe()` and `setTopics()` return, and only if set. */
  select?: string[]
  /** The same. */
  conflate?: { maxPerSecond: number }
}

export interface StateChange {
  state: ClientState
  /** The same as `state` when only the attempt changed. */
  previous: ClientState
  reason: Reason
  /** Attempts since the last healthy period; 0 when connected. */
  attempt: number
  /** When the next attempt begins, in milliseconds from now. */
  retryInMs?: number
  /** How long topics have not been live. */
  outageMs?: number
  error?: NotificationError
}

/** A stretch of time in which events may have been missed. */
export interface Gap {
  id: string
  /** Last proof of life before it, in milliseconds since the epoch. */
  from: number
  /** First proof of life after it; null while it lasts. */
  to: number | null
  reason: Reason
  topics: string[]
  /** `certain`: for a part of it no channel could have carried events. */
  certainty: 'certain' | 'possible'
  /** Whether what was missed came from the REST API, as far as it has it; see `backfill`. */
  backfilled: 'no' | 'partial' | 'yes'
}

export interface ClientStats {
  state: ClientState
  /** Attempts since the last healthy period; 0 when connected. */
  attempt: number
  /** Age of the youngest frame of the most silent socket; null without one. */
  lastFrameAgeMs: number | null
  /** Time until the token in use ends; null without one. */
  tokenExpiresInMs: number | null
  /** The channels in use. */
  channels: {
    shard: number
    /** Proven alive. */
    live: boolean
    /** A successor is being built. */
    rotating: boolean
    expiresInMs: number | null
    topics: number
  }[]
  topics: { wanted: number; subscribed: number; pending: number; rejected: number }
  /** `kept`: the closed ones that `gaps()` has, by how far they were filled. */
  gaps: { total: number; open: number; closedMs: number; kept: Record<Gap['backfilled'], number> }
  /** Events that reached the queue. */
  received: number
  /** Events handed to listeners and iterators; once, however many there are. */
  delivered: number
  /** Events the queue dropped, as `queue.onFull` says. */
  dropped: number
  /** Events of topics that `delivery.topics` does not name. */
  filtered: number
  /** Events in whose place a later one of their topic came; see `conflate`. */
  conflated: number
  /** Copies recognised and not delivered. */
  duplicates: number
  /** Events for topics that are not wanted. */
  unwanted: number
  /** Frames that could not be read. */
  unreadable: number
  /** Live sockets that were lost. */
  drops: number
  /** Channels replaced by overlap. */
  rotations: number
  tokenRequests: number
  channelCreations: number
  subscriptionRequests: number
  /** Times the clock jumped: suspend, or a pause of the machine. */
  clockJumps: number
  /** Shards whose second channel is live, with `continuity: 'standby'`. */
  standbyLive: number
  /** Events that only one of two live channels brought: an estimate of what a single channel would lose. */
  singleSided: number
  /** How far apart the copies of two channels came, in milliseconds; null until there was one. */
  skew: { p50Ms: number; p99Ms: number; p999Ms: number; maxMs: number; pairs: number } | null
  /** Times a channel's subscriptions were read back; see `rotation.auditMs`. */
  audits: number
  /** Times topics were missing there. */
  auditMismatches: number
  /** Channels of this client and user, those of other applications included, when last counted; null before. */
  channelsInUse: number | null
  /** The journal; null without one. */
  journal: JournalStats | null
  /** The connection to a direct endpoint; null without an `endpoint`. */
  direct: DirectStats | null
  /** The cursor; null without one. */
  cursor: CursorStats | null
  /** The queue now. */
  queue: { events: number; bytes: number; paused: boolean }
  /** From the socket to the consumer, in milliseconds, over the last one to two minutes; null without events. */
  latency: { p50: number | null; p99: number | null }
}

export interface JournalStats {
  /** Events on disk. */
  events: number
  /** Of those, not acknowledged. */
  unacknowledged: number
  /** Bytes in use, of `maxBytes`. */
  bytes: number
  maxBytes: number
  /** The highest sequence given out. */
  lastSequence: number
  /** The highest sequence acknowledged, on disk. */
  acknowledged: number
  /** Bytes in memory that wait for the disk. */
  waiting: number
  commits: number
  /** Events evicted before they were acknowledged, ever; see `journal.onFull`. */
  evicted: number
  /** How long the last commit took, in milliseconds. */
  lastCommitMs: number
}

export interface DirectStats {
  /** How far the connection in use has come. */
  life: 'awaitingToken' | 'opening' | 'authenticating' | 'ready' | 'subscribing' | 'live'
  /** Of the last event, as the server wrote it: where the next connection goes on; null without one. */
  position: string | null
  /** Outages that cost nothing, since the stream went on where it had ended. They are no gaps. */
  resumed: number
  /** Times the server did not know the position, so that a fresh one was taken; each is a gap. */
  repositions: number
}

export interface CursorStats {
  /** What was saved, or loaded, last; null before. */
  position: string | null
  /** When it was saved, in milliseconds since the epoch; null if this client has not saved yet. */
  savedAt: number | null
  /** Saves that succeeded. */
  saves: number
  /** Saves that failed; each is tried again. */
  failures: number
  /** Whether the last one did. */
  failing: boolean
}

export interface Health {
  /**
   * `ok`: all is live. `degraded`: some is not, or a standby is missing, or the queue or the journal takes no more, or the cursor
   * cannot be saved. `down`: nothing is live, and has not been for a while.
   */
  status: 'ok' | 'degraded' | 'down'
  state: ClientState
  /** Whether the state is `connected`. */
  ready: boolean
  /** Why the status is not `ok`. */
  reasons: string[]
  attempt: number
  lastFrameAgeMs: number | null
  topics: ClientStats['topics']
  gaps: ClientStats['gaps']
}

export interface BatchOptions {
  /** Most events of a batch. Default 256; 1 to 100,000, outside of it a ConfigurationError. */
  maxEvents?: number
  /** How long a batch may wait for more after its first event. Default 0: what is there at once. 0 to 60,000. */
  maxWaitMs?: number
  /** Whether a batch is one buffer of JSON lines instead of an array of events. Default false. */
  raw?: boolean
  signal?: AbortSignal
}

/**
 * Frames as JSON lines in UTF-8: as sent, but for line breaks between tokens, which are spaces, and characters beyond
 * Latin-1, which are `\u` escapes. The last line ends with a line feed, too.
 */
export type RawBatch = Buffer & {
  /** Where each line begins, in bytes. */
  readonly offsets: Uint32Array
  /** Sequence of the event in the first line; see `NotificationEvent.sequence`. */
  readonly firstSequence: number
  /** Sequence of the event in the last line: what `ack()` is to be given once all of them are stored. */
  readonly lastSequence: number
}

/** Why a token is asked for. */
export type TokenReason =
  /** There is none yet. */
  | 'initial'
  /** The one at hand ends soon. */
  | 'renewal'
  /** The service refused the one at hand. */
  | 'rejected'
  /** The one at hand ended before it could be renewed. */
  | 'expired'

export interface ClientCredentials {
  clientId: string
  clientSecret: string
}

export interface RefreshTokenCredentials extends ClientCredentials {
  refreshToken: string
  /** Called with each new refresh token; the one before is spent. Store it. */
  onRefreshToken?: (refreshToken: string) => void | Promise<void>
}

export interface TokenProvider {
  /**
   * Called when a token is needed, one call at a time. A rejection is reported with the code `TOKEN_PROVIDER_FAILED` and
   * retried with backoff; no answer within `network.requestTimeoutMs` counts as one.
   */
  accessToken: (why: TokenReason) => Promise<{
    accessToken: string
    /** The token's life from now. Without it 24 hours are assumed, the service's default. */
    expiresInMs?: number
  }>
}

/** Messages are whole sentences without secrets. Each method may be that of `console`, pino or winston. */
export interface Logger {
  debug(message: string): void
  info(message: string): void
  warn(message: string): void
  error(message: string): void
}

/**
 * Times are in milliseconds. A number outside its range, a wrong type and an unknown name are refused with a
 * ConfigurationError that names the option's path; `undefined` counts as absent.
 */
export interface NotificationClientOptions {
  /**
   * Where the organisation lives: `'us-east-1'`, `'us_east_1'`, `'mypurecloud.com'`, `'api.mypurecloud.com'`, or base URLs
   * (`https`, `wss`; `http` and `ws` for loopback only). Required. `streaming` may be left out where `api`
   * begins with `api.` (streaming is below the same domain) or is on loopback (so is streaming).
   */
  region: string | { login: string; api: string; streaming?: string }
  /** How tokens are had. Required. */
  credentials: ClientCredentials | RefreshTokenCredentials | TokenProvider
  /** The first wanted topics, single or combined. Default none; the same topic twice counts once. */
  topics?: TopicLike | Iterable<TopicLike>
  /**
   * What is done for continuity. `'reconnect'`: a channel is closed as soon as its successor is proven alive.
   * `'overlap'`: it is kept for `rotation.overlapMs` more. `'standby'`: as `'overlap'`, and two live channels carry each
   * topic, so that the loss of one costs nothing; takes two of the 20 channels for each 1,000 topics, which leaves room
   * for 9,000 topics. Default `'overlap'`.
   */
  continuity?: 'reconnect' | 'overlap' | 'standby'
  /**
   * Keeps what arrived on disk until it is acknowledged. Default none: events are kept in memory only.
   *
   * An event is on disk before it is delivered; after a crash of the process what was not acknowledged is delivered
   * again, marked `redelivered`; wanted topics and gaps are remembered, and the time in which no process ran is a gap.
   * One client at a time: a second one on the same file is refused. The file holds event bodies, which may be personal
   * data, and is readable by its owner only; it never holds a secret.
   */
  journal?: {
    /**
     * The SQLite file, created with its directory if need be. Required. Relative paths are taken from the current
     * directory. On a local disk: network file systems are refused where that can be told.
     */
    path: string
    /** Most bytes in use. Default 1,073,741,824 (1 GiB); 1,048,576 to 1,099,511,627,776. */
    maxBytes?: number
    /**
     * How long acknowledged events are kept for `replay()`. Default 86,400,000 (24 h); 0 to 31,536,000,000 (365 days). With
     * `onFull: 'evictOldest'` events that were never acknowledged are kept no longer either.
     */
    maxAgeMs?: number
    /**
     * When `maxBytes` is reached by events that were not acknowledged: `'pause'` stops reading the sockets until there is
     * room; `'evictOldest'` throws the oldest away and reports a gap; `'fail'` ends the client with `JOURNAL_FULL`.
     * Default `'pause'`.
     */
    onFull?: 'pause' | 'evictOldest' | 'fail'
    /**
     * `'always'` writes through to the disk with each commit (32 to 256 events, or 5 ms): nothing received is lost by a
     * power cut. `'interval'` does so now and then: a crash of the process costs nothing, a power cut up to the interval.
     * Default `'always'`.
     */
    sync?: 'always' | 'interval'
    /** With `sync: 'interval'` only: longest time between two of them. Default 1,000; 1 to 60,000. */
    syncIntervalMs?: number
  }
  /**
   * Events are acknowledged by `ack()` only, not by asking for the next one. Needs a `journal` or a `cursor`: without one there
   * is nothing to keep. Default false.
   */
  manualAck?: boolean
  /**
   * Fills closed gaps from the REST API. `true` for all recipes, a function for one of your own, or both in an object.
   * Default false.
   *
   * Order: the gap opens, the gap closes, events with `origin: 'backfill'`, then the gap once more with `backfilled` `'yes'`,
   * `'partial'` or `'no'`. They are made of what the API knows afterwards, and are not the notifications that were missed.
   * Calls are made at low priority within the rate limit and need permissions of their own.
   */
  backfill?:
    | boolean
    | BackfillFunction
    | {
        /** Which topics are filled how. Default `'all'`, or none beside `custom`. */
        recipes?: 'all' | BackfillRecipe[]
        /** A function of your own. Default none. */
        custom?: BackfillFunction
        /**
         * How far a gap is widened at both ends, since events may reach the service's own data late. Default 60,000:
         * more than 15 times the delay assumed; 0 to 86,400,000.
         */
        marginMs?: number
        /** How long after the end of a gap analytics data is asked for. Default 60,000; 0 to 86,400,000. */
        latencyMs?: number
      }
  /** Events that wait until somebody takes them. */
  queue?: {
    /** Default 100,000; 1 to 10,000,000. */
    maxEvents?: number
    /** Default 4,194,304 (4 MiB); 1,024 to 1,073,741,824. */
    maxBytes?: number
    /**
     * When one of both is reached: `'pause'` stops reading the sockets until half is free again, and nothing is lost here;
     * `'dropOldest'` and `'dropNewest'` drop, count, and report a gap. Default `'pause'`, and with a `journal` or a `cursor`
     * nothing else: what does not fit stays on disk, or with the server.
     */
    onFull?: 'pause' | 'dropOldest' | 'dropNewest'
  }
  network?: {
    /** Longest dialling, TLS and upgrade together. Default 15,000; 1 to 3,600,000. */
    connectTimeoutMs?: number
    /** Longest REST or OAuth request. Default 30,000; 1 to 3,600,000. */
    requestTimeoutMs?: number
    /**
     * Private authorities to trust beside Mozilla's roots, for REST, OAuth and sockets: what is in a PEM file, or several of
     * them, each with one certificate or more and any words around them. Not a path. Default none, beside the file that
     * `NODE_EXTRA_CA_CERTS` names: it is read when the client is made, and if it cannot be used `logger.warn` says so. The
     * system's own store is not read. What is no certificate is refused with a ConfigurationError that names `network.ca` or
     * `network.ca[1]`.
     */
    ca?: string | Uint8Array | readonly (string | Uint8Array)[]
  }
  /** When a silent socket is given up. Any frame is life. */
  heartbeat?: {
    /** Silence after which a ping is sent. Default 20,000, or 4/7 of a shorter `silenceMs`; 1 to 86,400,000, below `silenceMs`. */
    pingAfterMs?: number
    /** Time for its pong, and for a new socket to prove itself. Default 5,000, or 1/7 of a shorter `silenceMs`; 1 to 3,600,000. */
    pongTimeoutMs?: number
    /** Silence after which the socket is dropped. Default 35,000: the service beats every 30 s. 2 to 86,400,000. */
    silenceMs?: number
  }
  /** How retries are spaced: a random part of a bound that doubles. */
  backoff?: {
    /** First bound. Default 500, or `maxMs` if that is less; 1 to 86,400,000, at most `maxMs`. */
    initialMs?: number
    /** Highest bound. Default 30,000; 1 to 86,400,000. */
    maxMs?: number
    /** Highest bound while `suspended`. Default 60,000, or `maxMs` if that is more; 1 to 86,400,000, at least `maxMs`. */
    suspendedMaxMs?: number
    /** Healthy time after which counting begins anew; with `endpoint`, half of it. Default 60,000; 0 to 86,400,000. */
    healthyMs?: number
  }
  /** How channels and tokens are replaced before they end. */
  rotation?: {
    /** How long before its end a channel is replaced. Default: at random 1 to 4 h of 24 h, in proportion. 0 to 86,400,000. */
    beforeExpiryMs?: number
    /** How long an old channel is kept beside its proven successor. Default 5,000; 0 to 3,600,000. */
    overlapMs?: number
    /** Part of a token's life after which it is renewed. Default 0.8; 0.1 to 0.95. */
    tokenRenewalFraction?: number
    /**
     * How often the subscriptions of each live channel are read back and compared, give or take a fifth. Default 300,000: one
     * REST call per channel in five minutes of the 300 a minute that a token may make. 0 to 86,400,000; 0 is never.
     */
    auditMs?: number
  }
  delivery?: {
    /**
     * Under load JavaScript is woken about once in this time, and no event waits longer for it; as long as events are few
     * (with 1: up to about 1,500 a second) each is told at once. Default 1. 0: a wake whenever none is outstanding, which
     * costs processor time from about 2,000 events a second on. 0 to 60,000.
     */
    maxWaitMs?: number
    /** Longest stretch of one turn of the event loop, as far as listeners allow. Default 1; 1 to 10,000. */
    maxTurnMs?: number
    /**
     * How bodies come into JavaScript. `'text'`: as text, parsed when `eventBody` is first read. `'shaped'`: beside the text also
     * as values without their keys, from which the same body is built in less time than `JSON.parse` takes; preparing them costs
     * another thread about as much, for bodies of some kilobytes more, than is saved on this one. Default `'auto'`: those of up to
     * 1,024 bytes shaped as long as most bodies are read, and the others as text. Where code may not be generated (`--disallow-code-generation-from-strings`) it is always
     * text.
     */
    bodies?: 'auto' | 'text' | 'shaped'
    /**
     * How deep a frame may be nested, itself included. A deeper one is an `error` (code `UNREADABLE_FRAME`) and a gap. Default
     * 64: `JSON.stringify` and `structuredClone` bear that; 8 to 128, outside of it a ConfigurationError.
     */
    maxDepth?: number
    /**
     * Patterns of topic names: events of other topics are received, and count for liveness, gaps and copies, but are neither
     * kept in the journal nor delivered; `stats().filtered` counts them. `*` stands for one segment, `**` at the end for one
     * or more, as in `'v2.users.*.presence'` and `'v2.users.*.**'`; names match whatever their case. Default: every topic.
     * 1 to 1,000 patterns of at most 200 characters; anything else is refused.
     */
    topics?: readonly string[]
  }
  /** Not with channels; see `DirectClientOptions`. Default: Genesys Cloud's own protocol. */
  endpoint?: undefined
  /** Not with channels, which cannot be resumed; see `DirectClientOptions`. Default none. */
  cursor?: undefined
  /** Receives log lines. Default none, except that errors nobody listens for go to `console.error`. */
  logger?: Logger
  /** Its abort closes the client. */
  signal?: AbortSignal
}

/**
 * A client of a direct endpoint: a gateway, a relay or another server that authenticates on the socket itself. This is not Genesys
 * Cloud's own protocol, which needs no `endpoint`: without one a client speaks it.
 *
 * Tokens, retries, liveness, gaps, copies and states are as ever. What is of channels only, `rotation.auditMs`, is refused.
 */
export interface DirectClientOptions extends Omit<
  NotificationClientOptions,
  'region' | 'credentials' | 'topics' | 'rotation' | 'endpoint' | 'cursor'
> {
  /** How the server is spoken to. Required. */
  endpoint: DirectEndpoint
  /**
   * Where tokens come from and, for `backfill`, where the REST API is. Required for credentials with a `clientId`, where a `login`
   * URL is enough, and for `backfill`, which needs `api`, too; otherwise of no use. Default none.
   */
  region?: string | { login: string; api?: string; streaming?: string }
  /** How tokens are had. Required unless `endpoint.auth` is `'none'`, where none is asked for. */
  credentials?: ClientCredentials | RefreshTokenCredentials | TokenProvider
  /**
   * The first wanted topics, as the server names them: any texts of 1 to 1,000 characters without control characters, never
   * combined. Default none: then whatever the server sends is delivered, and gaps name the topic `*`.
   */
  topics?: TopicLike | Iterable<TopicLike>
  /** How connections and tokens are replaced before they end; see `NotificationClientOptions`. */
  rotation?: {
    /**
     * How long before its end a connection is replaced. Needs `endpoint.lifetimeMs`. Default: random, a twenty-fourth to a sixth of its
     * life and up to a second; at most half of it. 0 to 86,400,000.
     */
    beforeExpiryMs?: number
    /** How long an old connection is kept beside its proven successor. Default 5,000; 0 to 3,600,000. */
    overlapMs?: number
    /** Part of a token's life after which it is renewed. Default 0.8; 0.1 to 0.95. */
    tokenRenewalFraction?: number
  }
  /**
   * Keeps the position of the last acknowledged event, so that the next process goes on from there: in a file, or wherever `load`
   * and `save` keep it. Needs `endpoint.resume`. Default none: a process begins with `endpoint.resume.initial`.
   *
   * Saved only after acknowledgement, so a crash repeats events rather than losing them: at most one save at a time, the newest
   * wins, and 100 ms lie between two. One that fails is reported with the code `CURSOR_FAILED` and tried again.
   */
  cursor?: CursorStore
}

/** Where a cursor is kept. */
export type CursorStore =
  | {
      /**
       * A file, created with its directory if need be; readable by its owner only, and replaced as a whole. Required. Relative
       * paths are taken from the current directory. None yet is no error; one that cannot be read, or is damaged, is a
       * ConfigurationError, and is never begun anew by itself.
       */
      path: string
    }
  | {
      /**
       * Gives what `save` was given last, or null if it never was. Called once before the first connection, and again with backoff
       * when it rejects, gives anything else, or nothing within `network.requestTimeoutMs`. A text that is no JSON object is taken
       * for a bare position, as the server would write it; a JSON object must be what `save` was given, otherwise the client fails
       * with `CURSOR_CORRUPT`.
       */
      load(): Promise<string | null> | string | null
      /**
       * Keeps the cursor, a JSON text of up to some 100 KB that holds the position and no secret. Has to be on the safe side when
       * it resolves. One that takes longer than `network.requestTimeoutMs` counts as failed, and is called again.
       */
      save(cursor: string): Promise<unknown> | void
    }

/**
 * How a server is spoken to that authenticates on the socket itself. Not Genesys Cloud's own protocol. The url and the templates may
 * hold secrets: no message, log line or figure shows more of them than the host.
 *
 * In a frame, or in each item of a batch, what the pointers of `event` find makes it an event. What `ready` matches is none, nor a
 * frame of the topic `channel.metadata`, nor one that says no (a `status`, `code`, `error` and the like of 400 to 599, or a word as
 * `invalid_token`): that is treated as the same HTTP answer would be.
 */
export interface DirectEndpoint {
  /**
   * `wss`, or `ws` for loopback. Required. `{token}` and `{cursor}` behind the host are filled in, percent-encoded; another
   * placeholder is refused.
   */
  url: string
  /**
   * Where the token goes: `'query'` appends it to the url (or fills `{token}` there), `'header'` sends `Authorization: Bearer`,
   * `'firstMessage'` sends a message once the socket is open, `'none'` needs no token. Default `'firstMessage'` if `firstMessage` is
   * given, otherwise `'query'`.
   */
  auth?: 'query' | 'header' | 'firstMessage' | 'none'
  /** With `auth: 'query'`: the parameter's name. Default `'access_token'`; of no use, and refused, where `url` holds `{token}`. */
  tokenParameter?: string
  /**
   * With `auth: 'firstMessage'`: what is sent first. `{token}` and `{cursor}` are filled in, escaped for a JSON string. Default
   * `{"access_token":"{token}"}`.
   */
  firstMessage?: string
  /**
   * The frame by which the server says that the connection is ready. Nothing but the first message is sent before. Default none: a
   * connection is ready once it is open, and told the token.
   */
  ready?: {
    /** A JSON Pointer (RFC 6901) into the frame, as in `'/event'`. Required. */
    pointer: string
    /** What it has to find there: any JSON value. Required. */
    equals: unknown
    /** How long the server may take. Default 10,000 ms; 10 to 3,600,000, outside of it a ConfigurationError. */
    timeoutMs?: number
  }
  /** How topics are asked for. Default: they are not, the server sends what it sends. */
  subscribe?: {
    /**
     * Sent for each topic, on every connection, once it is ready. Required, with `{topic}` in it; `{token}` and `{cursor}` are
     * filled in, too, all of them escaped for a JSON string.
     */
    message: string
  }
  /** Where in a frame an event is: JSON Pointers (RFC 6901); `''` is the whole frame. */
  event?: {
    /** Its topic, which must be a text. Default `'/topicName'`, and with `body` alone the topic is `*` where there is none. */
    topic?: string
    /** Its body. Default `'/eventBody'`, and null where there is none; a pointer that is given must find something. */
    body?: string
    /** What tells it from others. Default none: copies are recognised by topic, position and body. */
    id?: string
    /** Whether a frame may be an array of events (true), or where in it that array is. Default false. */
    batch?: boolean | string
  }
  /**
   * How the next connection goes on where the last one ended. Default: it does not, and every outage is a gap. Events that the
   * server sends once more are recognised and dropped.
   */
  resume?: {
    /** The parameter of the url that takes the position, as in `'since'`. Required, unless `{cursor}` stands in a template: then refused. */
    parameter?: string
    /** Where in an event its position is, a text or a number, as in `'/timestamp'`. Required. It is sent as it came. */
    pointer: string
    /**
     * The position of the very first connection, and of one after the server refused a position. Default `'now'`: the time of this
     * machine in ISO 8601 with milliseconds. Any other text is sent as it is.
     */
    initial?: 'now' | (string & {})
    /**
     * Whether the server sends the events of the position itself again. Default: not known; the last position is sent until events
     * are seen to share one, then the one before it.
     */
    inclusive?: boolean
  }
  /**
   * What happens when the token is renewed: `'reconnect'` opens a new connection, overlapped; `'message'` sends the first message
   * again on the same socket, and needs `auth: 'firstMessage'`. Default `'reconnect'`.
   */
  renewal?: 'reconnect' | 'message'
  /**
   * How long the server keeps a connection, in milliseconds, if you know: each is replaced before, overlapped, so that its end costs
   * nothing. When, says `rotation.beforeExpiryMs`; by default, of a minute, at some moment 3.5 to 11 s before its end. Default: not
   * known, and a connection is kept until the server ends it. 100 to a year.
   */
  lifetimeMs?: number
}

/** Which topics a built-in recipe fills; docs/backfill.md says from where and how well. */
export type BackfillRecipe =
  'conversations' | 'presence' | 'routingStatus' | 'activity' | 'queueObservations' | 'usageEvents'

/**
 * Called for each closed gap. Yields what belongs into it, one item at a time; each becomes an event with
 * `origin: 'backfill'`. Returning ends the gap as `'yes'`; what it throws is reported as `'error'` with the code
 * `BACKFILL_FAILED`, and the gap ends as `'partial'`, or `'no'` if nothing was yielded. Not waited for at `close()`.
 */
export type BackfillFunction = (gap: Gap, api: BackfillApi) => AsyncIterable<BackfillItem> | Iterable<BackfillItem>

export interface BackfillItem {
  /** One of the gap's topics. */
  topicName: string
  /** Whatever can be written as JSON. */
  eventBody: unknown
}

/**
 * The REST API with the client's own token, at low priority and within its rate limit. Resolves with the answer's JSON;
 * rejects with a NotificationError that has the `status`.
 */
export interface BackfillApi {
  get(path: string, query?: BackfillQuery): Promise<any>
  post(path: string, body: unknown, query?: BackfillQuery): Promise<any>
}

/** Arrays repeat their name; `undefined` is left out. */
export type BackfillQuery = Record<string, BackfillQueryValue | readonly BackfillQueryValue[]>
export type BackfillQueryValue = string | number | boolean | undefined

/** Fills the placeholders of a template: `topic('v2.users.{id}.presence', userId)`. */
export function topic<P extends string>(pattern: P, ...ids: TopicIds<P>): string

/** As many ids as the pattern has placeholders. */
export type TopicIds<P extends string> = string extends P
  ? string[]
  : P extends `${string}{${string}}${infer Rest}`
    ? [id: string, ...TopicIds<Rest>]
    : []

/** Stable; new ones may be added. */
export type ErrorCode =
  | 'INVALID_OPTION'
  /** An option or method that a later version will have. */
  | 'NOT_SUPPORTED'
  | 'CLOSED'
  | 'NOT_CONNECTED'
  | 'LISTENER_FAILED'
  | 'LOAD_FAILED'
  | 'UNSUPPORTED_PLATFORM'
  | 'INTERNAL'
  | 'INVALID_CREDENTIALS'
  | 'TOKEN_REJECTED'
  | 'TOKEN_UNAVAILABLE'
  | 'TOKEN_PROVIDER_FAILED'
  | 'IP_NOT_ALLOWED'
  | 'FORBIDDEN'
  | 'ALL_TOPICS_REJECTED'
  | 'TOPIC_REJECTED'
  | 'TOO_MANY_TOPICS'
  | 'RATE_LIMITED'
  | 'SERVICE_UNAVAILABLE'
  | 'CHANNEL_GONE'
  | 'NETWORK_ERROR'
  | 'TLS_ERROR'
  | 'TIMED_OUT'
  | 'CONNECTION_LOST'
  | 'SILENT_SOCKET'
  | 'UNTRUSTED_CONNECT_URI'
  | 'PROTOCOL_VIOLATION'
  | 'UNREADABLE_FRAME'
  /** The service allows 20 channels per client and user, and they are in use, or soon will be. */
  /** A warning: from 15 of 20 channels on, and when the topics need all 20, so that none is left to replace one with. */
  | 'TOO_MANY_CHANNELS'
  | 'JOURNAL_FULL'
  /** The journal could not be read or written, or was found damaged; the message says what is lost. */
  | 'JOURNAL_FAILED'
  | 'BACKFILL_FAILED'
  /** The endpoint did not say in time that the connection is ready. */
  | 'NOT_READY'
  /** The endpoint refused the position from which it was to go on. A fresh one is taken, and the gap recorded. */
  | 'POSITION_REFUSED'
  /** The cursor could not be loaded or saved; it is tried again. */
  | 'CURSOR_FAILED'
  /** What was loaded is no cursor. It is left as it is; to begin anew, remove it. */
  | 'CURSOR_CORRUPT'

/** What every error of this package is. Holds no secret. */
export class NotificationError extends Error {
  readonly code: ErrorCode
  /** Whether the client goes on by itself. */
  readonly retryable: boolean
  /** What to do, where it is certain. */
  readonly hint?: string
  /** HTTP status. */
  readonly status?: number
  /** The service's correlation id, for its support. */
  readonly correlationId?: string
  readonly cause?: unknown
  toJSON(): Record<string, unknown>
}

/** An option or argument that cannot be used. */
export class ConfigurationError extends NotificationError {
  /** The option's path, e.g. `heartbeat.silenceMs` or `topics[3]`. */
  readonly path: string
}

/** Credentials, token or address are refused. */
export class AuthenticationError extends NotificationError {}
/** Topics are refused. */
export class TopicError extends NotificationError {}
/** The network, the name service or TLS. */
export class NetworkError extends NotificationError {}
/** The service refuses or fails: 429, 5xx, a channel that is gone. */
export class ServiceError extends NotificationError {}
/** The service broke its own protocol. */
export class ProtocolError extends NotificationError {}
/** The journal on disk is full, or cannot be read or written. */
export class JournalError extends NotificationError {}
/** The cursor could not be loaded or saved, or is none. */
export class CursorError extends NotificationError {}
/** The client is closed or has failed (then `cause` says why). */
export class ClosedError extends NotificationError {}
/** The binary for this platform could not be loaded. */
export class LoadError extends NotificationError {}
