// The process around a consumer: counts what it hears, and says what that cost.
import { readFileSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import process from 'node:process'

/** The histogram's own timer; what it adds to each delay is taken off again. */
const RESOLUTION_MS = 1
/** Other work on the thread: a quarter of its time, in stretches of a millisecond. */
const WORK_EVERY_MS = 4
const WORK_MS = 1

let left = Infinity
let at
let begin
let delay
let work

/** What every consumer does with an event. */
function seen(topicName, content) {
  if (typeof topicName !== 'string' || content === null) throw new TypeError('not an event')
  at?.push(performance.timeOrigin + performance.now())
  count(1)
}

function count(arrived) {
  begin.first ??= performance.now()
  left -= arrived
  if (left === 0) finish()
  if (left < 0) throw new RangeError('more than was sent')
}

function start({ count, isPaced, otherWork }) {
  left = count
  at = isPaced ? [] : undefined
  if (otherWork) {
    work = setInterval(spin, WORK_EVERY_MS)
    delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
    delay.enable()
  }
  begin = { ...cpu(), first: undefined }
}

function finish() {
  const elapsedMs = performance.now() - begin.first
  const end = cpu()
  clearInterval(work)
  delay?.disable()
  process.send({
    elapsedMs,
    mainMicros: end.main - begin.main,
    processMicros: end.process - begin.process,
    peakBytes: process.resourceUsage().maxRSS * 1_024,
    at,
    delay: delay && { p50Ms: ms(delay.percentile(50)), p99Ms: ms(delay.percentile(99)), maxMs: ms(delay.max) },
  })
  delay = undefined
}

function ms(nanos) {
  return Math.max(0, nanos / 1e6 - RESOLUTION_MS)
}

function spin() {
  const until = performance.now() + WORK_MS
  while (performance.now() < until);
}

/** Microseconds so far, of this thread and of the process. */
function cpu() {
  const { user, system } = process.cpuUsage()
  return { process: user + system, main: mainThread() }
}

function mainThread() {
  if (process.threadCpuUsage !== undefined) {
    const { user, system } = process.threadCpuUsage()
    return user + system
  }
  // Up to date, because reading the whole process's time has just brought it there.
  if (process.platform === 'linux') {
    return Number(readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'utf8').split(' ')[0]) / 1_000
  }
  return NaN
}

process.once('disconnect', () => process.exit())
process.on('message', async (message) => {
  if (message.open) {
    const { file, source, options } = message.open
    const { consume } = await import(`./consumers/${file}`)
    await consume({ source, options, seen, count })
    process.send('ready')
  } else {
    start(message.measure)
    process.send('counting')
  }
})
