/** Of an odd or even number of figures; the list is left as it is. */
export function median(figures) {
  const sorted = figures.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/** The smallest figure that `part` (0–1) of all figures do not exceed. */
export function quantile(figures, part) {
  const sorted = figures.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(sorted.length * part) - 1))]
}

/** The median of every member that is a number, over objects of the same shape. */
export function medians(samples) {
  const names = Object.keys(samples[0]).filter((name) => typeof samples[0][name] === 'number')
  return Object.fromEntries(names.map((name) => [name, median(samples.map((sample) => sample[name]))]))
}

/** Half of the figures lie between these two. */
export function quartiles(figures) {
  return [quantile(figures, 0.25), quantile(figures, 0.75)]
}

/** Three digits that count. */
export function brief(figure) {
  if (figure === undefined || Number.isNaN(figure)) return '–'
  if (Math.abs(figure) >= 100) return Math.round(figure).toLocaleString('en')
  return String(Number(figure.toPrecision(3)))
}

export function table(rows) {
  const columns = [...new Set(rows.flatMap(Object.keys))]
  const cells = [columns, ...rows.map((row) => columns.map((column) => String(row[column] ?? '')))]
  const widths = columns.map((_, i) => Math.max(...cells.map((row) => row[i].length)))
  const line = (row) => row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join('  ')
  return [line(cells[0]), widths.map((width) => '-'.repeat(width)).join('  '), ...cells.slice(1).map(line)].join('\n')
}
