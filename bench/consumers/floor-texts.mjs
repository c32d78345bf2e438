import { withFrames } from './frames.mjs'

/** Bodies as strings, one byte per character as long as that is possible: nothing that hands over text can cost less. */
export function consume(around) {
  return withFrames(around, (body) => JSON.stringify(body), JSON.parse)
}
