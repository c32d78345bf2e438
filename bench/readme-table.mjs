// Prints what the README says about speed, from results.json; `--write` puts it there, between its two marks.
import { readFile, writeFile } from 'node:fs/promises'
import { argv } from 'node:process'
import { fileURLToPath } from 'node:url'

import { brief } from './figures.mjs'
import { groupOf } from './paced.mjs'

const RESULTS = new URL('results.json', import.meta.url)
const README = new URL('../README.md', import.meta.url)
const [BEGIN, END] = ['<!-- bench/readme-table.mjs -->', '<!-- until here -->']

const PAYLOADS = ['small', 'medium', 'large', 'mix', 'names']
/** What is said of each payload: whose figure, as a ratio to ws. */
const ROWS = [
  ['every body parsed', 'plain', 'parsed', 'mainMicros'],
  ["the same with `bodies: 'text'`", 'plain', 'text', 'mainMicros'],
  ['one field by `select`, read', 'plain', 'select', 'mainMicros'],
  ['body not touched', 'plain', 'untouched', 'mainMicros'],
  ['raw batches', 'plain', 'rawBatches', 'mainMicros'],
  ['TLS, every body parsed', 'secure', 'parsed', 'mainMicros'],
  ['for comparison: `ws` in a worker', 'plain', 'worker', 'mainMicros'],
  ['for comparison: bare `JSON.parse`', 'plain', 'texts', 'mainMicros'],
  ['whole process, every body parsed', 'plain', 'parsed', 'processMicros'],
  ['events per second, every body parsed (more is better)', 'plain', 'parsed', 'eventsPerSecond'],
]
const RATES = [100, 1_000, 5_000]

/** Markdown. */
export function readmeTable({ delivery }) {
  const { machine, rounds, payloads, paced } = delivery
  const blast = ROWS.filter(([, group, variant]) => delivery[group].small?.[variant] !== undefined)
  const lines = [
    ...table(
      ['main-thread CPU per event, `ws` = 1', ...PAYLOADS.map((name) => `${name}, ${size(payloads[name])}`)],
      blast.map(([what, group, variant, figure]) => [
        what,
        ...PAYLOADS.map((payload) => delivery[group][payload]?.[variant]?.[`${figure}_ratio`]?.toFixed(2) ?? ''),
      ]),
    ),
    '',
    ...table(
      ['`mix` at a pace', ...RATES.map((rate) => `${rate.toLocaleString('en')}/s`)],
      [
        ['main-thread CPU, `ws` = 1', (rate) => ratio(paced, rate, 'mainMicros')],
        ['process CPU, `ws` = 1', (rate) => ratio(paced, rate, 'processMicros')],
        ['latency p50, `ws` → ours, ms', (rate) => both(paced, rate, 'latency_p50Ms')],
        ['latency p99, `ws` → ours, ms', (rate) => both(paced, rate, 'latency_p99Ms')],
        ['event-loop delay p99 beside other work, `ws` → ours, ms', (rate) => both(paced, rate, 'delay_p99Ms')],
      ].map(([what, cell]) => [what, ...RATES.map(cell)]),
    ),
    '',
    `Medians of ${rounds} interleaved rounds on ${machine.cpu}, load average ${machine.loadAverage.toFixed(1)}, Node.js ` +
      `${machine.node}, \`ws\` ${machine.ws}, loopback, one run of \`npm run bench\`.`,
  ]
  return lines.join('\n')
}

function table(head, rows) {
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`)
}

function ratio(paced, rate, figure) {
  return paced[groupOf('mix', rate)].parsed[`${figure}_ratio`].toFixed(2)
}

function both(paced, rate, figure) {
  const { ws, parsed } = paced[groupOf('mix', rate)]
  return ws[figure] === undefined ? '' : `${brief(ws[figure])} → ${brief(parsed[figure])}`
}

function size({ bytesPerEvent }) {
  return bytesPerEvent < 1_000 ? `${Math.round(bytesPerEvent)} B` : `${(bytesPerEvent / 1_000).toFixed(1)} kB`
}

if (argv[1] === fileURLToPath(import.meta.url)) {
  const text = readmeTable(JSON.parse(await readFile(RESULTS, 'utf8')))
  if (argv[2] === '--write') await write(text)
  else console.log(text)
}

async function write(text) {
  const readme = await readFile(README, 'utf8')
  const [begin, end] = [readme.indexOf(BEGIN), readme.indexOf(END)]
  if (begin < 0 || end < begin) throw new Error(`README.md has no ${BEGIN} … ${END}`)
  await writeFile(README, `${readme.slice(0, begin + BEGIN.length)}\n\n${text}\n\n${readme.slice(end)}`)
}
