'use strict'

const { inspect } = require('node:util')

const { native } = require('./border')
const { requireObject } = require('./check')
const { NativeSimulator } = require('./native')

const ASYNC_DISPOSE = Symbol.asyncDispose ?? Symbol.for('nodejs.asyncDispose')
const FOREVER_MS = 2 ** 31 - 1

/** A fake Genesys Cloud on this machine; see crates/sim for what it does and how surely the real one does the same. */
class Simulator {
  #native
  #keepAlive

  /** Starts one. Only here, so that starting may take its time one day. */
  static async start(options = {}) {
    requireObject(options, 'options')
    return new Simulator(native(() => new NativeSimulator(JSON.stringify(options))))
  }

  constructor(simulator) {
    if (!(simulator instanceof NativeSimulator)) throw new TypeError('use Simulator.start(options)')
    this.#native = simulator
    const { urls, credentials, certificate } = JSON.parse(simulator.address())
    this.urls = urls
    this.certificate = certificate ?? undefined
    Object.defineProperty(this, 'credentials', { value: credentials, enumerable: false })
    this.#keepAlive = setInterval(() => {}, FOREVER_MS)
  }

  publish(topic, body) {
    return native(() => this.#native.publish(topic, body === undefined ? undefined : JSON.stringify(body)))
  }

  fault(rule) {
    requireObject(rule, 'fault')
    const id = native(() => this.#native.fault(JSON.stringify(rule)))
    return { id, clear: () => this.#native.clearFault(id) }
  }

  clearFaults() {
    this.#native.clearFaults()
  }

  traffic(traffic) {
    requireObject(traffic, 'traffic')
    const id = native(() => this.#native.traffic(JSON.stringify(traffic)))
    return { id, stop: () => this.#native.stopTraffic(id) }
  }

  log(since = 0) {
    return JSON.parse(this.#native.log(since))
  }

  counts() {
    return JSON.parse(this.#native.counts())
  }

  channels() {
    return JSON.parse(this.#native.channels())
  }

  async stop() {
    clearInterval(this.#keepAlive)
    this.#native.stop()
  }

  [ASYNC_DISPOSE]() {
    return this.stop()
  }

  ref() {
    this.#keepAlive.ref()
    return this
  }

  unref() {
    this.#keepAlive.unref()
    return this
  }

  [inspect.custom](depth, options) {
    return `Simulator ${inspect({ urls: this.urls, counts: this.counts() }, options)}`
  }
}

module.exports = { Simulator }
