'use strict'

/** Writes lines to stdout; resolves once they have left this process, or waits where nobody reads. */
function writeLines(lines) {
  const text = lines.map((line) => `${line}\n`).join('')
  return new Promise((resolve, reject) => {
    process.stdout.write(text, (error) => (error ? reject(error) : resolve()))
  })
}

module.exports = { writeLines }
