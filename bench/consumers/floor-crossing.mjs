import { createRequire } from 'node:module'

import { withFrames } from './frames.mjs'

const require = createRequire(import.meta.url)
const { NativeClient } = require('../../lib/native')
const { readOptions } = require('../../lib/options')

/** The border, crossed once per event, and nothing to fetch behind it. */
export function consume(around) {
  return withFrames(around, () => {}, crossing(around))
}

/** A function that calls a native one in vain. */
export function crossing({ source: { region, credentials } }) {
  const client = new NativeClient(JSON.stringify(readOptions({ region, credentials }).core), () => {})
  return () => client.takeControls()
}
