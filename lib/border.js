'use strict'

const { fromNative } = require('./errors')

/** The bell must not keep a forgotten client alive: the native side holds it for as long as it lives itself. */
function bell(client, ring) {
  const weak = new WeakRef(client)
  return () => {
    const target = weak.deref()
    if (target !== undefined) ring(target)
  }
}

/** What can still be asked when the native client is gone; `expand` makes single topics of names. */
function remains(native, expand) {
  const [topics, gaps, stats] = [native.topics(), native.gaps(), native.stats()]
  native.release()
  const statuses = (names) => {
    const wanted = new Set(expand(names))
    return JSON.stringify(JSON.parse(topics).filter(({ topic }) => wanted.has(topic)))
  }
  return { topics: () => topics, statuses, gaps: () => gaps, stats: () => stats }
}

/** Calls into the addon; what it throws becomes an error of this package. */
function native(call) {
  try {
    return call()
  } catch (error) {
    throw fromNative(error)
  }
}

module.exports = { bell, native, remains }
