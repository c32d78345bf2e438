'use strict'

const { file, join, kind, refuseUnknown, requireObject, wrong } = require('./check')

const readPath = file({ for: 'the position' })

/** `cursor`: `core` for the native side (null if there is none), and the user's own functions if those keep it. */
function cursor(value, path) {
  if (value === undefined) return { core: null }
  requireObject(value, path, 'must be { path } or { load, save }')
  if (value.load === undefined && value.save === undefined) {
    refuseUnknown(value, path, ['path', 'load', 'save'])
    return { core: { kind: 'file', path: readPath(value.path, join(path, 'path')) } }
  }
  for (const name of ['load', 'save']) {
    if (typeof value[name] !== 'function') throw wrong(join(path, name), `must be a function, not ${kind(value[name])}`)
  }
  if (isPlain(value)) {
    if (value.path !== undefined) throw wrong(join(path, 'path'), 'is of no use beside load and save')
    refuseUnknown(value, path, ['load', 'save'])
  }
  return { core: { kind: 'functions' }, store: value }
}

/** An instance of a class has members of its own. */
function isPlain(value) {
  const prototype = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

module.exports = { cursor }
