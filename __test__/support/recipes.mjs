import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { environment } from './world.mjs'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** The JavaScript that stands under a heading of docs/endpoints/<page>.md. */
async function blockOf(page, heading) {
  const text = await readFile(join(root, 'docs', 'endpoints', `${page}.md`), 'utf8')
  const section = text.split(/^## /m).find((part) => part.startsWith(`${heading}\n`))
  const blocks = [...(section ?? '').matchAll(/^```js\n([\s\S]+?)^```$/gm)]
  if (blocks.length !== 1) throw new Error(`${page}.md: ${blocks.length} blocks under "${heading}" instead of one`)
  return blocks[0][1]
}

/** A folder in which a reader could have put the code of a page: what it imports is installed there. */
export async function readersFolder(t) {
  const folder = await mkdtemp(join(tmpdir(), 'recipe-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  await mkdir(join(folder, 'node_modules'))
  await symlink(root, join(folder, 'node_modules', 'genesys-cloud-notifications'), 'junction')
  await symlink(join(root, 'node_modules', 'ws'), join(folder, 'node_modules', 'ws'), 'junction')
  return folder
}

/** Runs that code, as it stands, against the simulator. */
export async function runRecipe(t, sim, folder, page, heading) {
  const path = join(folder, 'recipe.mjs')
  await writeFile(path, await blockOf(page, heading))
  const env = { ...process.env, ...environment(sim) }
  const child = spawn(process.execPath, [path], { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'] })
  t.after(() => child.kill('SIGKILL'))
  const said = { stdout: '', stderr: '' }
  for (const stream of ['stdout', 'stderr']) child[stream].on('data', (chunk) => (said[stream] += chunk))
  const ended = once(child, 'close')
  const kill = async () => {
    child.kill('SIGKILL')
    await ended
  }
  /** The numbers of the events it printed, in order. */
  const printed = () => [...said.stdout.matchAll(/\{ n: (\d+) \}/g)].map(([, n]) => Number(n))
  return { said, printed, kill }
}
