'use strict'

const { isUint8Array } = require('node:util').types

const { kind, wrong } = require('./check')

/** PEM as the core takes it: one text or several. What is in them is for the core to judge. */
function ca(value, path) {
  if (value === undefined) return undefined
  return Array.isArray(value) ? value.map((each, i) => pem(each, `${path}[${i}]`)) : pem(value, path)
}

function pem(value, path) {
  if (typeof value === 'string') return value
  // The words around certificates may be of any encoding, and are not read.
  if (isUint8Array(value)) return Buffer.from(value).toString('latin1')
  throw wrong(path, `must be PEM, as a string or a Buffer, not ${kind(value)}`)
}

module.exports = { ca }
