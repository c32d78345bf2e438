'use strict'

const { kind, show, wrong } = require('./check')

/** The names in a topic, or in an iterable of topics. */
function topicNames(value, path) {
  if (isTopic(value)) return [nameOf(value, path)]
  if (typeof value !== 'object' || value === null || typeof value[Symbol.iterator] !== 'function') {
    throw wrong(path, `must be a topic or an iterable of topics, not ${kind(value)}`)
  }
  const names = []
  for (const topic of value) names.push(nameOf(topic, `${path}[${names.length}]`))
  return names
}

function isTopic(value) {
  return typeof value === 'string' || (typeof value === 'object' && value !== null && typeof value.topic === 'string')
}

function nameOf(value, path) {
  if (!isTopic(value)) {
    throw wrong(path, `must be a topic name, as in "v2.users.<id>.presence", not ${show(value)}`)
  }
  const name = typeof value === 'string' ? value : value.topic
  if (name === '') throw wrong(path, 'a topic must not be empty')
  return name
}

const PLACEHOLDER = /\{[^{}]*\}/g

/** Fills the placeholders of a topic template: `topic('v2.users.{id}.presence', userId)`. */
function topic(pattern, ...ids) {
  if (typeof pattern !== 'string') throw wrong('pattern', `must be a string, not ${kind(pattern)}`)
  const wanted = pattern.match(PLACEHOLDER)?.length ?? 0
  if (ids.length !== wanted) {
    const places = wanted === 1 ? '1 placeholder' : `${wanted} placeholders`
    throw wrong(
      'ids',
      `"${pattern}" has ${places}, but ${ids.length} ${ids.length === 1 ? 'id was' : 'ids were'} given`,
    )
  }
  let next = 0
  return pattern.replace(PLACEHOLDER, () => {
    const path = `ids[${next}]`
    const id = ids[next++]
    if (typeof id !== 'string') throw wrong(path, `must be a string, not ${kind(id)}`)
    if (!/^[A-Za-z0-9_:@+-]+$/.test(id)) throw wrong(path, `${show(id)} is not an id: letters, digits and -_:@+ only`)
    return id
  })
}

module.exports = { topicNames, topic }
