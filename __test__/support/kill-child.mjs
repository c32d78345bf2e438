// A process that keeps a journal until it is killed. It says what it does with writes that are done when they return:
//   l             connected
//   e <seq> <n> <1 if redelivered>   was handed an event
//   a <seq>       has acknowledged, or will with its next step
//   c <seq>       an acknowledgement is on disk
//   d             everything is acknowledged; said once, after `last`
import { writeSync } from 'node:fs'

import { NotificationClient } from '../../index.js'

const { options, every, last } = JSON.parse(process.argv[2])
const say = (line) => writeSync(1, `${line}\n`)

const client = new NotificationClient(options)
client.on('error', ({ code, message }) => writeSync(2, `${code}: ${message}\n`))
client.connect().then(() => say('l'))

let committed = 0
function tellCommitted() {
  const { acknowledged, unacknowledged, lastSequence } = client.stats().journal
  if (acknowledged > committed) say(`c ${(committed = acknowledged)}`)
  return unacknowledged === 0 && acknowledged === lastSequence && client.state === 'connected'
}

if (last) {
  const timer = setInterval(async () => {
    if (!tellCommitted()) return
    clearInterval(timer)
    say('d')
    await client.close()
  }, 20)
}

let count = 0
for await (const event of client.events()) {
  say(`e ${event.sequence} ${event.eventBody.n} ${event.redelivered ? 1 : 0}`)
  count++
  if (!options.manualAck) {
    // So that a kill may come between the two.
    if (count % 3 === 0) await new Promise((resolve) => setImmediate(resolve))
    say(`a ${event.sequence}`)
  } else if (last || count % every === 0) {
    client.ack(event)
    say(`a ${event.sequence}`)
  }
  if (count % 7 === 0) tellCommitted()
}
