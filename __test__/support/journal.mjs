import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** The path of a journal that does not exist yet; gone when the test is over. */
export async function journalPath(t) {
  const folder = await mkdtemp(join(tmpdir(), 'journal-'))
  t.after(() => rm(folder, { recursive: true }))
  return join(folder, 'kept', 'events.db')
}

/** The next `count` events; the last of them is not acknowledged. */
export async function take(iterator, count) {
  const events = []
  while (events.length < count) {
    const { value, done } = await iterator.next()
    if (done) throw new Error(`ended after ${events.length} of ${count} events`)
    events.push(value)
  }
  return events
}

export async function all(iterable) {
  const events = []
  for await (const event of iterable) events.push(event)
  return events
}

export const sequences = (events) => events.map(({ sequence }) => sequence)
export const numbers = (events) => events.map(({ eventBody }) => eventBody.n)
export const range = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => from + i)
