import { withFrames } from './frames.mjs'

/** Frames as `ws` hands them over. */
export function consume(around) {
  return withFrames(around, (_, data) => data, JSON.parse)
}
