// The main figure of `delivery` as a picture: main-thread CPU per event, ws = 1.
const SHOWN = {
  ws: { label: 'ws + JSON.parse', colour: '#8c959f' },
  worker: { label: 'ws in a worker', colour: '#bf8700' },
  text: { label: 'ours, parsed, text path', colour: '#54aeff' },
  parsed: { label: 'ours, parsed', colour: '#0969da' },
  select: { label: 'ours, one field', colour: '#8250df' },
  untouched: { label: 'ours, body not touched', colour: '#1a7f37' },
}
const PAYLOADS = ['small', 'medium', 'large', 'mix', 'names']
const WIDTH = 760
const LEFT = 130
const BAR = 16
const GAP = 22
const TOP = 82
const IN_A_LINE = 4

export function chart({ machine, payloads, plain, rounds }) {
  const shown = Object.entries(SHOWN).filter(([name]) => name in plain.mix)
  const ratios = PAYLOADS.flatMap((payload) => shown.map(([name]) => ratio(plain, payload, name)))
  const scale = (WIDTH - LEFT - 70) / Math.max(...ratios)
  const group = shown.length * BAR + GAP
  const height = TOP + PAYLOADS.length * group + 34
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" ` +
      'font-family="system-ui, sans-serif" font-size="12">',
    '<title>Main-thread CPU time per event, relative to ws + JSON.parse</title>',
    `<rect width="${WIDTH}" height="${height}" rx="6" fill="#ffffff"/>`,
    '<text x="16" y="24" font-size="14" font-weight="600">Main-thread CPU time per event (ws + JSON.parse = 1, less is better)</text>',
    ...legend(shown),
  ]
  for (const [i, payload] of PAYLOADS.entries()) {
    const top = TOP + i * group
    parts.push(`<text x="16" y="${top + 26}" font-weight="600">${payload}</text>`)
    parts.push(`<text x="16" y="${top + 42}" fill="#57606a">${bytes(payloads[payload])}</text>`)
    for (const [j, [name, { colour }]] of shown.entries()) {
      const value = ratio(plain, payload, name)
      const y = top + j * BAR
      const width = (value * scale).toFixed(1)
      parts.push(`<rect x="${LEFT}" y="${y}" width="${width}" height="${BAR - 3}" fill="${colour}"/>`)
      parts.push(`<text x="${(LEFT + value * scale + 6).toFixed(1)}" y="${y + 11}">${value.toFixed(2)}</text>`)
    }
  }
  const note =
    `Median of ${rounds} interleaved runs. ${machine.cpu}, load ${machine.loadAverage.toFixed(1)}, ` +
    `Node.js ${machine.node}, ws ${machine.ws}, loopback.`
  parts.push(`<text x="16" y="${height - 14}" fill="#57606a" font-size="11">${note}</text>`, '</svg>', '')
  return parts.join('\n')
}

function legend(shown) {
  return shown.flatMap(([, { label, colour }], i) => {
    const [x, y] = [16 + (i % IN_A_LINE) * 180, 36 + Math.floor(i / IN_A_LINE) * 18]
    return [
      `<rect x="${x}" y="${y}" width="12" height="12" fill="${colour}"/>`,
      `<text x="${x + 18}" y="${y + 10}">${label}</text>`,
    ]
  })
}

function ratio(plain, payload, name) {
  return plain[payload][name].mainMicros_ratio
}

function bytes({ bytesPerEvent }) {
  return bytesPerEvent < 1_000 ? `${Math.round(bytesPerEvent)} B` : `${(bytesPerEvent / 1_000).toFixed(1)} kB`
}
