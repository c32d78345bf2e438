// Runs benchmarks by name (default: all), prints tables, and with `--json <file>` writes the figures.
import { writeFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'

import * as journal from './journal.mjs'

const BENCHMARKS = { journal }

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { quick: { type: 'boolean', default: false }, json: { type: 'string' } },
})
const names = positionals.length > 0 ? positionals : Object.keys(BENCHMARKS)
for (const name of names) {
  if (!(name in BENCHMARKS)) {
    console.error(`no such benchmark: ${name}; there are ${Object.keys(BENCHMARKS).join(', ')}`)
    process.exit(2)
  }
}

const results = {}
for (const name of names) {
  const { title, columns, rows } = (results[name] = await BENCHMARKS[name].run({ quick: values.quick }))
  console.log(`\n${title}\n${table(columns, rows)}`)
}
if (values.json) await writeFile(values.json, `${JSON.stringify(results, undefined, 2)}\n`)

function table(columns, rows) {
  const cells = [columns, ...rows.map((row) => columns.map((column) => String(row[column])))]
  const widths = columns.map((_, i) => Math.max(...cells.map((row) => row[i].length)))
  const line = (row) => row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join('  ')
  return [line(cells[0]), widths.map((width) => '-'.repeat(width)).join('  '), ...cells.slice(1).map(line)].join('\n')
}
