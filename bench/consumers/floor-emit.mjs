import { EventEmitter } from 'node:events'

import { crossing } from './floor-crossing.mjs'
import { withFrames } from './frames.mjs'

/** As many events as cross together. */
const EVENTS_PER_CALL = 64

/** What is left if handing over costs nothing: an object per event, a listener called with it, and a call now and then. */
export function consume(around) {
  const { topics } = around.source
  const notifications = new EventEmitter()
  let at = 0
  let last
  notifications.on('event', ({ topicName }) => (last = topicName))
  const cross = crossing(around)
  return withFrames(
    around,
    () => {},
    () => {
      if (++at % EVENTS_PER_CALL === 0) cross()
      notifications.emit('event', new Event(topics[at % topics.length]))
      if (last === undefined) throw new TypeError('not an event')
    },
  )
}

class Event {
  #topicName

  constructor(topicName) {
    this.#topicName = topicName
  }

  get topicName() {
    return this.#topicName
  }
}
