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

  /** `isTest`: built as the tests are, and with few frames. */
  static async start({ isTest = false } = {}) {
    const source = new Source()
    source.#child = spawn(build(isTest), isTest ? ['--test'] : [], { stdio: ['pipe', 'pipe', 'inherit'] })
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
function build(isTest) {
  const profile = isTest ? ['--target', host()] : ['--release']
  const args = ['build', ...profile, '--quiet', '--package', PACKAGE, '--message-format=json']
  const messages = run('cargo', args)
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  return messages.findLast(({ executable }) => executable).executable
}

/** Tests are built for an explicit target: the same one here reuses what they built. */
function host() {
  return /host: (.+)/.exec(run('rustc', ['-vV']))[1].trim()
}

function run(command, args) {
  const { status, stdout } = spawnSync(command, args, {
    cwd: ROOT,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  if (status !== 0) throw new Error(`${command} ${args[0]} failed`)
  return stdout
}
