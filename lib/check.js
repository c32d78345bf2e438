'use strict'

const { resolve } = require('node:path')

const { ConfigurationError } = require('./errors')
const { didYouMean } = require('./suggest')

/** A value short enough for an error message. Never used for secrets. */
function show(value) {
  if (typeof value === 'string') return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value)
  if (typeof value === 'number' || typeof value === 'boolean' || value === null) return String(value)
  if (typeof value === 'bigint') return `${value}n`
  return kind(value)
}

function kind(value) {
  if (value === null || value === undefined) return String(value)
  if (Array.isArray(value)) return 'an array'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}

function wrong(path, message) {
  return new ConfigurationError(path, message)
}

function notBuilt(path) {
  return new ConfigurationError(path, 'is not supported by this version', {
    code: 'NOT_SUPPORTED',
    hint: 'It is planned. Remove it for now; an option without effect would be worse than this error.',
  })
}

function join(path, name) {
  return path ? `${path}.${name}` : name
}

function isObject(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function requireObject(value, path, what = 'must be an object') {
  if (!isObject(value)) throw wrong(path, `${what}, not ${kind(value)}`)
  return value
}

/** Refuses what is not one of the names. `undefined` counts as absent. */
function refuseUnknown(value, path, names) {
  for (const name of Object.keys(value)) {
    if (!names.includes(name) && value[name] !== undefined) {
      throw wrong(join(path, name), `unknown option${didYouMean(name, names)}`)
    }
  }
}

/** A function that reads a number. `unit` is for the message only; the name carries it already. */
function number({ min, max, integer = true, fallback }) {
  return (value, path) => {
    if (value === undefined) return fallback
    if (typeof value !== 'number') throw wrong(path, `must be a number, not ${show(value)}`)
    if (integer && !Number.isInteger(value)) throw wrong(path, `must be a whole number, not ${show(value)}`)
    if (!(value >= min && value <= max)) throw wrong(path, `must be between ${min} and ${max}, not ${show(value)}`)
    return value
  }
}

/** Absent means false. */
function flag(value, path) {
  if (value === undefined) return false
  if (typeof value !== 'boolean') throw wrong(path, `must be true or false, not ${show(value)}`)
  return value
}

/** A function that reads one of some words. */
function choice({ of, fallback }) {
  return (value, path) => {
    if (value === undefined) return fallback
    if (!of.includes(value)) {
      const hint = typeof value === 'string' ? didYouMean(value, of) : ''
      throw wrong(path, `must be one of ${of.map((word) => `'${word}'`).join(', ')}, not ${show(value)}${hint}`)
    }
    return value
  }
}

/** A function that reads an array of texts, with at least one in it. */
function texts({ of }) {
  return (value, path) => {
    if (value === undefined) return undefined
    if (!Array.isArray(value)) throw wrong(path, `must be an array of ${of}, not ${kind(value)}`)
    if (value.length === 0) throw wrong(path, 'must not be empty; leave it out instead')
    for (const [i, text] of value.entries()) {
      if (typeof text !== 'string') throw wrong(`${path}[${i}]`, `must be a string, not ${show(text)}`)
    }
    return [...value]
  }
}

/** A function that reads an object of the given members; absent means all defaults. */
function group(members) {
  const names = Object.keys(members)
  return (value, path) => {
    const given = value === undefined ? {} : requireObject(value, path)
    refuseUnknown(given, path, names)
    const read = {}
    for (const name of names) {
      const member = members[name](given[name], join(path, name))
      if (member !== undefined) read[name] = member
    }
    return read
  }
}

/** A member that later versions will have. */
function planned(value, path) {
  if (value !== undefined) throw notBuilt(path)
  return undefined
}

/** A function that reads the path of a file, which is needed `for` something. */
function file({ for: purpose }) {
  return (value, path) => {
    if (value === undefined) throw wrong(path, `is required: the file to keep ${purpose} in`)
    if (typeof value !== 'string') throw wrong(path, `must be the path of a file, not ${kind(value)}`)
    if (value === '') throw wrong(path, 'must not be empty')
    if (value.includes('\0')) throw wrong(path, 'must not hold a zero byte')
    // Absolute, so that it stays the same file when the program changes its directory.
    return resolve(value)
  }
}

function optionalFunction(value, path) {
  if (value !== undefined && typeof value !== 'function') throw wrong(path, `must be a function, not ${kind(value)}`)
  return value
}

function abortSignal(value, path) {
  if (value === undefined) return undefined
  const looksRight =
    typeof value === 'object' && value !== null && typeof value.addEventListener === 'function' && 'aborted' in value
  if (!looksRight) throw wrong(path, `must be an AbortSignal, not ${kind(value)}`)
  return value
}

module.exports = {
  abortSignal,
  choice,
  file,
  flag,
  group,
  isObject,
  join,
  kind,
  number,
  optionalFunction,
  planned,
  refuseUnknown,
  requireObject,
  show,
  texts,
  wrong,
}
