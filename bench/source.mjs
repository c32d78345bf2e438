// The source in a process of its own: builds it, starts it, gives it orders one at a time.
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const PACKAGE = 'genesys-notifications-bench-source'
const ROOT = fileURLToPath(new URL('..', import.meta.url))

export class Source {
  #child
  #lines

  static async start() {
    const source = new Source()
    source.#child = spawn(build(), { stdio: ['pipe', 'pipe', 'inherit'] })
    source.#lines = createInterface({ input: source.#child.stdout })[Symbol.asyncIterator]()
    /** Where it listens and what it can send. */
    source.about = await source.#answer()
    return source
  }

  /** `{ payload, events, perSecond? }`; resolves when all of it was written, with the times of paced events. */
  async send(order) {
    this.#child.stdin.write(`${JSON.stringify(order)}\n`)
    return this.#answer()
  }

  async #answer() {
    const { value, done } = await this.#lines.next()
    if (done) throw new Error('the source ended')
    const answer = JSON.parse(value)
    if (answer.error !== undefined) throw new Error(`the source: ${answer.error}`)
    return answer
  }

  async stop() {
    const exit = once(this.#child, 'exit')
    this.#child.stdin.end()
    await exit
  }
}

/** The path of the program. */
function build() {
  const args = ['build', '--release', '--quiet', '--package', PACKAGE, '--message-format=json']
  const built = spawnSync('cargo', args, { cwd: ROOT, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })
  if (built.status !== 0) throw new Error('the source was not built')
  const messages = built.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  return messages.findLast(({ executable }) => executable).executable
}
