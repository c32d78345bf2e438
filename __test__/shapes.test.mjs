import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

const require = createRequire(import.meta.url)
const { Shapes } = require('../lib/shapes.js')

/** Written by a test of crates/proto, from the encoder. */
const LINES = readFileSync(new URL('support/shapes.jsonl', import.meta.url), 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line))

const flat = (...keys) => ({ keys, containers: keys.map(() => false) })
const nested = (...keys) => ({ keys, containers: keys.map(() => true) })

/** The same content, order of keys and prototypes, and `-0` told from `0`. */
function same(actual, expected, what) {
  assert.deepStrictEqual(actual, expected, what)
  assert.equal(JSON.stringify(actual), JSON.stringify(expected), what)
}

test('what the encoder made of a body is built as JSON.parse would', () => {
  const shapes = new Shapes()
  let shaped = 0
  for (const { body, values, shapes: announced } of LINES) {
    shapes.add(announced)
    if (values === null) continue
    shaped++
    same(shapes.build(JSON.parse(values)), JSON.parse(body), body)
    same(shapes.build(JSON.parse(values)), JSON.parse(body), body)
  }
  assert.ok(shaped > 50, `${shaped} of ${LINES.length}`)
  assert.equal({}.polluted, undefined)
})

test('every kind of slot', () => {
  const shapes = new Shapes()
  shapes.add([flat('id', 'n'), nested('user', 'list')])
  shapes.add([{ keys: ['one', 'more', 'last'], containers: [false, true, false] }])
  for (const [values, body] of [
    [[0, 'a', 1], { id: 'a', n: 1 }],
    [[0, null, -0], { id: null, n: -0 }],
    [[0, { x: [1] }, [{}]], { id: { x: [1] }, n: [{}] }],
    [[-1], []],
    [
      [-3, 0, 'a', 1, 0, 'b', 2],
      [
        { id: 'a', n: 1 },
        { id: 'b', n: 2 },
      ],
    ],
    [
      [-4, null, 'x', true],
      [null, 'x', true],
    ],
    [
      [-3, -1, -2, -2, 0, 'a', 1],
      [[], [[{ id: 'a', n: 1 }]]],
    ],
    [[1, 0, 'a', 1, -2, 0, 'b', 2], { user: { id: 'a', n: 1 }, list: [{ id: 'b', n: 2 }] }],
    [[1, null, [1, 2]], { user: null, list: [1, 2] }],
    [[1, { id: 7 }, {}], { user: { id: 7 }, list: {} }],
    [[1, false, 'text'], { user: false, list: 'text' }],
    [[2, 5, 0, 'a', 1, 6], { one: 5, more: { id: 'a', n: 1 }, last: 6 }],
  ]) {
    same(shapes.build(values), body)
  }
})

test('an array is as dense as one of JSON.parse, and may be long', () => {
  const shapes = new Shapes()
  shapes.add([flat('n')])
  const numbers = Array.from({ length: 10_000 }, (_, i) => i)
  same(
    shapes.build([-10_001, ...numbers.flatMap((n) => [0, n])]),
    numbers.map((n) => ({ n })),
  )
})

test('keys are never code and never reach a prototype', () => {
  const keys = ['__proto__', 'constructor', '"', '\\', '\u2028', '`${1}`', "'+process.exit(1)+'", ']:1,[', '\ud800', '']
  const shapes = new Shapes()
  shapes.add([flat(...keys)])
  const body = shapes.build([0, ...keys.map((_, i) => i)])
  assert.deepEqual(Object.keys(body), keys)
  assert.equal(Object.getPrototypeOf(body), Object.prototype)
  for (const [i, key] of keys.entries()) {
    const expected = { value: i, writable: true, enumerable: true, configurable: true }
    assert.deepEqual(Object.getOwnPropertyDescriptor(body, key), expected)
  }
})

test('bodies share nothing, and shapes of one client are unknown to another', () => {
  const [one, other] = [new Shapes(), new Shapes()]
  one.add([flat('a')])
  other.add([flat('b')])
  const first = one.build([0, 1])
  first.c = 1
  same(one.build([0, 2]), { a: 2 })
  same(other.build([0, 2]), { b: 2 })
})

test('without code generation it says so', () => {
  const path = fileURLToPath(new URL('../lib/shapes.js', import.meta.url))
  const script = `process.stdout.write(String(require(${JSON.stringify(path)}).Shapes.isPossible))`
  for (const [flags, expected] of [
    [[], 'true'],
    [['--disallow-code-generation-from-strings'], 'false'],
  ]) {
    const { stdout, stderr } = spawnSync(process.execPath, [...flags, '-e', script], { encoding: 'utf8' })
    assert.equal(stdout, expected, stderr)
  }
})
