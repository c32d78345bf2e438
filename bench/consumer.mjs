// The process around a consumer: counts what it hears, and says what that cost.
import process from 'node:process'

import { LoopDelay } from './loop-delay.mjs'
import { cpu, peakBytes } from './meter.mjs'
import { Slowness } from './slowness.mjs'

/** How often a client is asked whether it has handed over all there is. */
const ASK_EVERY_MS = 10

let consumer
let mark
let step

/** What every consumer does with an event. */
function seen(topicName, content) {
  if (typeof topicName !== 'string' || content === null) throw new TypeError('not an event')
  step.at?.push(performance.timeOrigin + performance.now())
  step.slowness?.endure()
  if (topicName !== mark) count(1)
  else if (step.isMarked) finish()
}

function count(arrived) {
  step.first ??= performance.now()
  step.seen += arrived
  if (step.seen === step.count) finish()
  else if (step.seen > step.count) throw new RangeError('more than was sent')
}

/** `count` is what ends the step, if it is known; otherwise the mark, or `drain`, does. */
function start({ count = Infinity, isMarked, isLocal, isPaced, otherWork, slow }) {
  step = { count, isMarked, seen: 0, first: isLocal ? performance.now() : undefined, at: isPaced ? [] : undefined }
  if (slow) step.slowness = new Slowness(slow)
  if (otherWork) step.delay = new LoopDelay()
  step.begin = cpu()
}

function finish() {
  const end = cpu()
  const { begin, first, seen, at, slowness, delay } = step
  const figures = {
    elapsedMs: performance.now() - first,
    mainMicros: end.main - begin.main,
    processMicros: end.process - begin.process,
    peakBytes: peakBytes(),
    seen,
    at,
    delays: delay?.end(),
  }
  if (slowness === undefined) return process.send(figures)
  // Once the listener that this may have been called by has returned: only then was its event delivered.
  setImmediate(() => {
    process.send({ ...figures, grownBytes: slowness.grownBytes, stats: consumer?.stats?.() })
  })
}

/** All was sent: ends the step once a client that may drop some of it has dealt with the rest. */
function drain(sent) {
  const { received, delivered, dropped, queue } = consumer.stats()
  if (received === sent && delivered + dropped === received && queue.events === 0) finish()
  else setTimeout(drain, ASK_EVERY_MS, sent)
}

async function open({ file, source, options }) {
  mark = source.mark
  const { consume } = await import(`./consumers/${file}`)
  consumer = await consume({ source, options, seen, count })
  process.send('ready')
}

process.once('disconnect', () => process.exit())
process.on('message', (message) => {
  if (message.open) return open(message.open)
  if (message.drain) return drain(message.drain)
  start(message.measure)
  if (message.measure.isLocal) consumer.repeat(message.measure.count)
  else process.send('counting')
})
