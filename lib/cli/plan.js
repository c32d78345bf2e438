'use strict'

const { native } = require('../border')
const { planTopics } = require('../native')
const { readTopics } = require('./connection')
const { EXIT, UsageError } = require('./exit')

const usage = '<topics…>'
const options = { topics: { type: 'string' } }
const details = `Topics that differ only in their last part share one name on the wire, and a channel carries 1,000 names.

  --topics            More topics, separated by commas or spaces   GENESYS_TOPICS`

async function run({ values, positionals, env }) {
  const topics = readTopics(values, env, positionals)
  if (topics.length === 0) throw new UsageError('give at least one topic, as in v2.users.<id>.presence')
  const plan = JSON.parse(native(() => planTopics(topics)))
  process.stdout.write(values.json ? `${JSON.stringify(plan)}\n` : words(plan))
  return EXIT.done
}

function words({ topics, channels, requests, names }) {
  const lines = [
    `${topics} topics as ${names.length} names on ${channels} ${channels === 1 ? 'channel' : 'channels'}`,
    `${requests} requests to start: a token, and for each channel its creation and its subscriptions`,
    ...names.map((name) => `  ${name}`),
  ]
  return `${lines.join('\n')}\n`
}

module.exports = { usage, options, details, run }
