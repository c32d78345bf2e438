'use strict'

const { EventEmitter } = require('node:events')
const { inspect } = require('node:util')

const { Acknowledger, refuseAck } = require('./ack')
const { BackfillRunner } = require('./backfill')
const { abortSignal, flag, group, number } = require('./check')
const { bell, native, remains } = require('./border')
const { CursorCalls } = require('./cursor')
const { Deferred, abortable, quiet } = require('./deferred')
const { emitEach, emitError, rethrow } = require('./emit')
const { ClosedError, NotificationError, fromReport, listenerFailed } = require('./errors')
const { health, serveHealth } = require('./health')
const { metrics } = require('./metrics')
const { NativeClient, expandTopics } = require('./native')
const { readOptions } = require('./options')
const { Pump } = require('./pump')
const { replay } = require('./replay')
const { Reporter } = require('./reporter')
const { BatchStream, EventStream } = require('./stream')
const { answerTokenRequest } = require('./token')
const { topicOptions } = require('./topic-options')
const { topicNames } = require('./topics')

/** Longest interval a timer takes. */
const FOREVER_MS = 2 ** 31 - 1
const REJECTION = Symbol.for('nodejs.rejection')
const ASYNC_DISPOSE = Symbol.asyncDispose ?? Symbol.for('nodejs.asyncDispose')

const readSignal = group({ signal: abortSignal })
const readClose = group({ drainMs: number({ min: 0, max: 3_600_000, fallback: 0 }) })
const readBatches = group({
  maxEvents: number({ min: 1, max: 100_000, fallback: 256 }),
  maxWaitMs: number({ min: 0, max: 60_000, fallback: 0 }),
  raw: flag,
  signal: abortSignal,
})

/** Clients with something to do: they stay until it is done, whether or not the program still refers to them. */
const live = new Set()

class NotificationClient extends EventEmitter {
  #native
  #pump
  /** Absent without a journal or a cursor. */
  #acks
  #backfill
  #cursor
  #isDirect
  #journalPath
  #keeper
  #wantsStandby
  #reporter
  #tokens
  #onRefreshToken
  #stopListening

  #state = 'idle'
  #failure
  #connected = new Deferred()
  #requests = new Map()
  #isBegun = false

  #closed = new Deferred()
  #isClosing = false
  #drainTimer
  /** What was heard of the end while events are still handed over. */
  #last = []

  #keepAlive
  #isReferenced = true
  #servers = new Set()

  constructor(options) {
    super({ captureRejections: true })
    const read = readOptions(options)
    this.#reporter = new Reporter(read.logger)
    this.#native = native(() => new NativeClient(JSON.stringify(read.core), bell(this, NotificationClient.#ring)))
    this.#journalPath = read.journalPath
    this.#isDirect = read.isDirect
    this.#keeper = read.keeper
    this.#wantsStandby = read.core.continuity === 'standby'
    if (read.cursor !== undefined) this.#cursor = new CursorCalls(this.#native, read.cursor)
    if (read.keeper !== undefined) this.#acks = new Acknowledger(this.#native, read.manualAck)
    this.#pump = new Pump(this.#native, this.#face(), read.delivery, this.#acks)
    if (read.backfill !== undefined) {
      this.#backfill = new BackfillRunner(this.#native, read.backfill, (error) => this.#report(error))
    }
    this.#tokens = { accessToken: read.accessToken, timeoutMs: read.requestTimeoutMs, error: undefined }
    this.#onRefreshToken = read.onRefreshToken
    if (read.signal) this.#closeOn(read.signal)
  }

  /** Not an arrow function of the constructor: that would hold the client. */
  static #ring(client) {
    client.#pump.ring()
  }

  get state() {
    if (this.#isOver) return this.#state
    if (this.#isClosing) return 'closing'
    return this.#isBegun && this.#state === 'idle' ? 'connecting' : this.#state
  }

  connect(options) {
    return quiet(this.#connect(options))
  }

  async #connect(options) {
    const { signal } = readSignal(options, '')
    this.#refuseIfOver()
    signal?.throwIfAborted()
    if (!this.#isBegun) {
      this.#isBegun = true
      this.#stay()
      this.#native.connect()
    }
    if (this.#state !== 'connected') await abortable(this.#connected.promise, signal)
  }

  async subscribe(topics, options) {
    return this.#change('add', topics, topicOptions(options, '', this.#keeper))
  }

  async unsubscribe(topics) {
    await this.#change('remove', topics)
  }

  async setTopics(topics) {
    return this.#change('replace', topics)
  }

  async #change(change, topics, options) {
    const names = topicNames(topics, 'topics')
    this.#refuseIfOver()
    const request = native(() => this.#native.requestTopics(change, names, options))
    if (this.#isBegun) await this.#settled(request)
    return JSON.parse(this.#native.statuses(names))
  }

  #settled(request) {
    const settled = new Deferred()
    this.#requests.set(request, settled)
    return settled.promise
  }

  topics() {
    return JSON.parse(this.#native.topics())
  }

  events(options) {
    return new EventStream(this.#pump, readSignal(options, '').signal)
  }

  batches(options) {
    return new BatchStream(this.#pump, readBatches(options, ''))
  }

  ack(upTo) {
    if (this.#acks === undefined) refuseAck()
    this.#acks.to(upTo, this.#pump.names)
  }

  replay(options) {
    return replay(this.#journalPath, options)
  }

  gaps() {
    return JSON.parse(this.#native.gaps())
  }

  stats() {
    const { queue, ...stats } = JSON.parse(this.#native.stats())
    const { delivered, waiting } = this.#pump
    const latency = this.#pump.latency.percentiles(Date.now())
    return {
      direct: null,
      cursor: null,
      ...stats,
      state: this.state,
      delivered,
      queue: { ...queue, events: queue.events + waiting },
      latency,
    }
  }

  health() {
    return health(this, { wantsStandby: this.#wantsStandby })
  }

  metrics() {
    return metrics(this)
  }

  async serveHealth(options) {
    this.#refuseIfOver()
    const server = await serveHealth(this, options)
    server.once('close', () => this.#servers.delete(server))
    if (this.#isOver) server.close()
    else this.#servers.add(server)
    return server
  }

  async rotate() {
    this.#refuseIfNotBegun('rotate')
    await this.#settled(this.#native.rotate())
  }

  async reconnect() {
    this.#refuseIfNotBegun('reconnect')
    await this.#settled(this.#native.reconnect())
  }

  close(options) {
    return quiet(this.#close(options))
  }

  async #close(options) {
    const { drainMs } = readClose(options, '')
    if (!this.#isClosing) {
      this.#isClosing = true
      if (this.#acks !== undefined && !this.#isOver) {
        this.#stay()
        this.#drainKept(drainMs)
      } else {
        this.#drainOrHold(drainMs)
      }
    }
    await this.#closed.promise
  }

  #drainOrHold(drainMs) {
    if (drainMs === 0) this.#pump.hold()
    else this.#drainTimer = setTimeout(() => this.#stopDraining(), drainMs)
    if (this.#isOver) {
      if (drainMs === 0) this.#stopDraining()
    } else {
      this.#stay()
      this.#native.close()
    }
  }

  /** Where events are acknowledged the end waits for what is drained: after it nothing can be. */
  #drainKept(drainMs) {
    const end = () => {
      clearTimeout(this.#drainTimer)
      this.#pump.hold()
      this.#pump.afterTurn(() => this.#closeNative())
    }
    this.#drainTimer = setTimeout(end, drainMs)
    // Without a journal sequences count what was received.
    const { journal, received } = this.stats()
    const { acknowledged, lastSequence } = journal ?? { lastSequence: received }
    if (drainMs === 0 || acknowledged === lastSequence) end()
    else this.#pump.drain(lastSequence, end)
  }

  #closeNative() {
    if (this.#isOver) return
    this.#pump.retract()
    this.#acks.flush()
    this.#native.close()
  }

  [ASYNC_DISPOSE]() {
    return this.close()
  }

  ref() {
    this.#isReferenced = true
    this.#keepAlive?.ref()
    return this
  }

  unref() {
    this.#isReferenced = false
    this.#keepAlive?.unref()
    return this
  }

  on(event, listener) {
    super.on(event, listener)
    if (event === 'event') this.#pump.more()
    return this
  }

  addListener(event, listener) {
    return this.on(event, listener)
  }

  prependListener(event, listener) {
    super.prependListener(event, listener)
    if (event === 'event') this.#pump.more()
    return this
  }

  [REJECTION](cause, event) {
    this.#listenerFailed(event, cause)
  }

  [inspect.custom](depth, options) {
    const { state, topics, gaps } = this.stats()
    return `NotificationClient ${inspect({ state, topics: topics.wanted, gaps: gaps.total }, options)}`
  }

  get #isOver() {
    return this.#state === 'closed' || this.#state === 'failed'
  }

  #refuseIfOver() {
    if (this.#state === 'failed') throw new ClosedError('the client has failed', { cause: this.#failure })
    if (this.#isClosing || this.#isOver) throw new ClosedError()
  }

  #refuseIfNotBegun(method) {
    this.#refuseIfOver()
    if (this.#isBegun) return
    throw new NotificationError(`${method}() before connect()`, { code: 'NOT_CONNECTED' })
  }

  /** Keeps the client, and unless `unref` was called the process, until the end. */
  #stay() {
    live.add(this)
    this.#keepAlive ??= setInterval(() => {}, FOREVER_MS)
    if (!this.#isReferenced) this.#keepAlive.unref()
  }

  #closeOn(signal) {
    const onAbort = () => this.close()
    this.#stopListening = () => signal.removeEventListener('abort', onAbort)
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort, { once: true })
  }

  #face() {
    const eventFailed = (cause) => this.#listenerFailed('event', cause)
    return {
      controls: (list) => this.#controls(list),
      emit: (event) => emitEach(this, 'event', event, eventFailed),
      isListening: () => this.listenerCount('event') > 0,
      rested: () => this.#rested(),
    }
  }

  #controls(list) {
    for (const control of list) {
      const isLast = control.type === 'closed' || (control.type === 'state' && control.value.state === 'closed')
      if (this.#last.length > 0 || (isLast && this.#mayDrain)) this.#last.push(control)
      else this.#control(control)
    }
  }

  /** A failed client hands over all it had, unless it stays in the journal; a closed one what fits into `drainMs`. */
  get #mayDrain() {
    if (this.#acks !== undefined) return false
    return (this.#drainTimer !== undefined || (this.#state === 'failed' && !this.#isClosing)) && this.#pump.isWanted
  }

  #rested() {
    if (this.#last.length > 0 && (this.#pump.isEmpty || !this.#mayDrain)) this.#stopDraining()
  }

  #stopDraining() {
    clearTimeout(this.#drainTimer)
    this.#drainTimer = undefined
    this.#pump.hold()
    const last = this.#last
    this.#last = []
    for (const control of last) this.#control(control)
  }

  #control({ type, value }) {
    switch (type) {
      case 'state':
        return this.#changeState(value)
      case 'gap':
      case 'topic':
        return this.#emit(type, value)
      case 'error':
        return this.#report(this.#error(value))
      case 'settled':
        return this.#settle(value)
      case 'backfillRequest':
        return this.#backfill.request(value)
      case 'apiAnswer':
        return this.#backfill?.answer(value)
      case 'tokenRequest':
        return this.#provideToken(value)
      case 'refreshToken':
        return this.#keepRefreshToken(value)
      case 'loadCursor':
        return this.#cursor.load(value)
      case 'saveCursor':
        return this.#cursor.save(value)
      case 'log':
        return this.#reporter.log(value.level, value.message)
      case 'closed':
        return this.#end()
    }
  }

  #changeState(change) {
    this.#state = change.state
    if (change.error !== undefined) change.error = this.#error(change.error)
    if (change.state === 'failed') {
      this.#failure = change.error
      clearInterval(this.#keepAlive)
    }
    if (change.state === 'connected') this.#connected.resolve()
    else if (change.previous === 'connected') this.#connected = new Deferred()
    this.#emit('state', change)
    if (this.#isOver) this.#refuseWaiting()
  }

  #error(report) {
    return fromReport(report, this.#causeOf(report.code))
  }

  /** What the user's own function threw. */
  #causeOf(code) {
    if (code === 'TOKEN_PROVIDER_FAILED') return this.#tokens.error
    return code === 'CURSOR_FAILED' ? this.#cursor?.error : undefined
  }

  #settle(request) {
    this.#requests.get(request)?.resolve()
    this.#requests.delete(request)
  }

  async #provideToken(request) {
    const { accessToken, timeoutMs } = this.#tokens
    this.#tokens.error = await answerTokenRequest(this.#native, accessToken, request, timeoutMs)
  }

  async #keepRefreshToken(token) {
    try {
      await this.#onRefreshToken?.(token)
    } catch (cause) {
      this.#listenerFailed('onRefreshToken', cause)
    }
  }

  #refuseWaiting() {
    const error = this.#failure ?? new ClosedError()
    this.#connected.reject(error)
    for (const settled of this.#requests.values()) settled.reject(error)
    this.#requests.clear()
  }

  #end() {
    this.#acks?.end()
    this.#backfill?.stop()
    this.#pump.stop(this.#isClosing ? undefined : this.#failure)
    this.#native = remains(this.#native, this.#isDirect ? (names) => names : expandTopics)
    this.#refuseWaiting()
    clearInterval(this.#keepAlive)
    clearTimeout(this.#drainTimer)
    this.#stopListening?.()
    live.delete(this)
    for (const server of this.#servers) server.close()
    this.#closed.resolve()
  }

  #emit(event, value) {
    return emitEach(this, event, value, (cause) => this.#listenerFailed(event, cause))
  }

  #listenerFailed(event, cause) {
    // Who throws from an 'error' listener means it.
    if (event === 'error') process.nextTick(rethrow, cause)
    else this.#report(listenerFailed(event, cause))
  }

  #report(error) {
    emitError(this, error, () => this.#reporter.unheard(error))
  }
}

module.exports = { NotificationClient }
