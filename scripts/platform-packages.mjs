// Writes npm/<platform>/, one package for each target, and mends what `napi create-npm-dirs` leaves amiss.
import { execFileSync } from 'node:child_process'
import { copyFileSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const napi = join(root, 'node_modules', '@napi-rs', 'cli', 'dist', 'cli.js')

execFileSync(process.execPath, [napi, 'create-npm-dirs'], { cwd: root, stdio: 'inherit' })
for (const entry of readdirSync(join(root, 'npm'), { withFileTypes: true })) {
  if (!entry.isDirectory()) continue
  const directory = join(root, 'npm', entry.name)
  const path = join(directory, 'package.json')
  const manifest = JSON.parse(readFileSync(path, 'utf8'))
  // npm leaves out an optional package whose engines do not fit, without a word: the root package judges the version.
  delete manifest.engines
  manifest.files = [...new Set([...manifest.files, 'LICENSE-APACHE', 'LICENSE-MIT'])]
  writeFileSync(path, `${JSON.stringify(manifest, null, 2)}\n`)
  for (const licence of ['LICENSE-APACHE', 'LICENSE-MIT']) copyFileSync(join(root, licence), join(directory, licence))
}
