'use strict'

const { native } = require('./border')
const { isObject, kind, show, wrong } = require('./check')
const { Deferred, abortable } = require('./deferred')
const { ClosedError, NotificationError, describe, fromReport } = require('./errors')

/** Runs the user's own backfill function, gap by gap, and hands what it yields to the native side, one item at a time. */
class BackfillRunner {
  #native
  #fill
  #failed
  #api
  #calls = new Map()
  #end = new AbortController()

  /** `failed` is told what went wrong. */
  constructor(native, fill, failed) {
    this.#native = native
    this.#fill = fill
    this.#failed = failed
    this.#api = Object.freeze({
      get: (path, query) => this.#call('GET', path, undefined, query),
      post: (path, body, query) => this.#call('POST', path, body, query),
    })
  }

  /** A closed gap is to be filled. */
  async request(gap) {
    let items = 0
    try {
      for await (const item of this.#items(gap)) {
        await this.#give(gap, item, items)
        items++
      }
      this.#done(gap, 'yes')
    } catch (cause) {
      if (this.#isStopped) return
      this.#failed(backfillFailed(gap, cause))
      this.#done(gap, items > 0 ? 'partial' : 'no')
    }
  }

  /** What the service answered to a call of the user's function. */
  answer({ call, status, body, error }) {
    const waiting = this.#calls.get(call)
    this.#calls.delete(call)
    if (error !== undefined) waiting?.reject(fromReport(error))
    else waiting?.resolve({ status, body })
  }

  /** Nothing is handed over after this; a function that still runs is told by its next call, or by `return()`. */
  stop() {
    const error = new ClosedError()
    this.#end.abort(error)
    for (const call of this.#calls.values()) call.reject(error)
    this.#calls.clear()
  }

  /** What the function yields, until the client ends, whatever the function waits for then. */
  async *#items(gap) {
    const iterable = await this.#unlessStopped(this.#fill.call(undefined, gap, this.#api))
    const begin = iterable?.[Symbol.asyncIterator] ?? iterable?.[Symbol.iterator]
    if (typeof begin !== 'function' || typeof iterable === 'string') {
      throw wrong('backfill', `must return an async iterable, as an async function* does, not ${kind(iterable)}`)
    }
    const iterator = begin.call(iterable)
    let isDone = false
    try {
      for (;;) {
        const step = await this.#unlessStopped(iterator.next())
        isDone = Boolean(step.done)
        if (isDone) return
        yield step.value
      }
    } finally {
      // Not awaited: it may wait for something that never comes.
      if (!isDone) ignore(() => iterator.return?.())
    }
  }

  async #give(gap, item, index) {
    const { topicName, body } = readItem(gap, item, `items[${index}]`)
    const number = native(() => this.#native.backfillItem(gap.id, topicName, body))
    if (number !== null) await this.#answerTo(number)
  }

  #done(gap, outcome) {
    if (!this.#isStopped) this.#native.backfillDone(gap.id, outcome)
  }

  async #call(method, path, body, query) {
    if (this.#isStopped) throw new ClosedError()
    const target = withQuery(path, query)
    const { status, body: text } = await this.#answerTo(
      this.#native.apiCall(method, target, body === undefined ? undefined : toJson(body, 'body')),
    )
    return readAnswer(text, `${method} ${path}`, status)
  }

  #answerTo(number) {
    const answer = new Deferred()
    this.#calls.set(number, answer)
    return answer.promise
  }

  #unlessStopped(value) {
    return abortable(Promise.resolve(value), this.#end.signal)
  }

  get #isStopped() {
    return this.#end.signal.aborted
  }
}

function readItem(gap, item, path) {
  if (!isObject(item)) throw wrong(path, `must be { topicName, eventBody }, not ${kind(item)}`)
  const { topicName, eventBody } = item
  if (typeof topicName !== 'string') throw wrong(`${path}.topicName`, `must be a string, not ${kind(topicName)}`)
  if (!gap.topics.includes(topicName)) {
    throw wrong(`${path}.topicName`, `${show(topicName)} is not one of the gap's ${gap.topics.length} topics`)
  }
  return { topicName, body: toJson(eventBody, `${path}.eventBody`) }
}

function toJson(value, path) {
  let text
  try {
    text = JSON.stringify(value)
  } catch (error) {
    throw wrong(path, `cannot be written as JSON: ${error.message}`)
  }
  if (text === undefined) throw wrong(path, `cannot be written as JSON: it is ${kind(value)}`)
  return text
}

function withQuery(path, query) {
  if (typeof path !== 'string' || !path.startsWith('/api/v2/')) {
    throw wrong('path', `must begin with "/api/v2/", as in "/api/v2/conversations", not ${show(path)}`)
  }
  if (query === undefined) return path
  if (!isObject(query)) throw wrong('query', `must be an object, not ${kind(query)}`)
  const pairs = Object.entries(query).flatMap(([name, value]) => [value].flat().map((one) => [name, one]))
  const text = String(new URLSearchParams(pairs.filter(([, value]) => value !== undefined)))
  return text === '' ? path : `${path}${path.includes('?') ? '&' : '?'}${text}`
}

function readAnswer(text, what, status) {
  if (text === '') return undefined
  try {
    return JSON.parse(text)
  } catch {
    throw new NotificationError(`${what} was answered with what is no JSON`, { code: 'PROTOCOL_VIOLATION', status })
  }
}

function backfillFailed({ id }, cause) {
  return new NotificationError(`the backfill function failed for ${id}: ${describe(cause)}`, {
    code: 'BACKFILL_FAILED',
    retryable: false,
    hint: 'The gap stays on record with what was filled before; call the function again yourself if it may succeed later.',
    cause,
  })
}

async function ignore(call) {
  try {
    await call()
  } catch {
    // Nobody waits for it any more.
  }
}

module.exports = { BackfillRunner }
