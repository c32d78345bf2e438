// A process that reads a direct endpoint until it is killed or told to end, and keeps its cursor in a file. It says with writes
// that are done when they return:
//   l       connected
//   e <n>   was handed an event; asking for the next one acknowledges it
import { writeSync } from 'node:fs'

import { NotificationClient } from '../../index.js'

const client = new NotificationClient(JSON.parse(process.argv[2]))
client.on('error', ({ code, message }) => writeSync(2, `${code}: ${message}\n`))
client.connect().then(
  () => writeSync(1, 'l\n'),
  // Told to end before.
  () => {},
)
process.once('SIGTERM', () => client.close())

for await (const event of client.events()) {
  writeSync(1, `e ${event.eventBody.n}\n`)
  // So that an end may come between an event and its acknowledgement.
  if (event.sequence % 5 === 0) await new Promise((resolve) => setImmediate(resolve))
}
