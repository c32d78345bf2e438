'use strict'

const { topicTemplates } = require('../native')
const { EXIT } = require('./exit')

const usage = '[words…]'
const options = {}
const details = `Prints the topic templates that hold all of the words; without words all. {id} stands for an id to be filled in.
The list was taken from the service's own SDKs. Which topics an organisation may use is known to the service only.
`

async function run({ values, positionals }) {
  const words = positionals.map((word) => word.toLowerCase())
  const found = topicTemplates()
    .filter((template) => words.every((word) => template.toLowerCase().includes(word)))
    .sort()
  if (values.json) process.stdout.write(`${JSON.stringify(found)}\n`)
  else if (found.length > 0) process.stdout.write(`${found.join('\n')}\n`)
  else process.stderr.write(`no topic holds "${positionals.join(' ')}"\n`)
  return EXIT.done
}

module.exports = { usage, options, details, run }
