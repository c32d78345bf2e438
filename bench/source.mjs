// The simulator in a process of its own.
import process from 'node:process'

import { Simulator } from '../simulator.js'

// A consumer that is slower than the source must not be reset: it is what is measured.
const simulator = await Simulator.start({ socketBacklogBytes: 1_073_741_824, logLimit: 1_000_000 })

process.on('message', (message) => {
  if (message.traffic) simulator.traffic(message.traffic)
  else if (message.report) process.send({ published: simulator.log().events.map(({ at }) => at) })
  else process.send({ region: simulator.urls, credentials: simulator.credentials })
})
process.once('disconnect', () => process.exit())
