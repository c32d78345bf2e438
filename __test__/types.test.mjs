import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

import ts from 'typescript'

import * as main from '../index.js'
import { BY_CODE } from '../lib/errors.js'
import * as simulator from '../simulator.js'
import { journalPath } from './support/journal.mjs'

const path = (name) => fileURLToPath(new URL(`../${name}`, import.meta.url))
const files = { 'index.d.ts': main.default, 'simulator.d.ts': simulator.default }
const program = ts.createProgram(Object.keys(files).map(path), {
  target: ts.ScriptTarget.ES2022,
  lib: ['lib.es2023.d.ts', 'lib.esnext.disposable.d.ts'],
  types: ['node'],
  strict: true,
})
const checker = program.getTypeChecker()

const exportsOf = (file) => checker.getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile(path(file))))
const isValue = (symbol) => (symbol.flags & ts.SymbolFlags.Value) !== 0
const nameOf = ({ name }) => (name.includes('@asyncDispose') ? '[Symbol.asyncDispose]' : name)

/** Names of a class's own prototype, symbols as they are written. */
function membersOf(Class) {
  return Reflect.ownKeys(Class.prototype)
    .filter((key) => key !== 'constructor')
    .map((key) => (key === Symbol.asyncDispose ? '[Symbol.asyncDispose]' : key))
    .filter((key) => typeof key === 'string')
}

for (const [file, module] of Object.entries(files)) {
  test(`${file} declares the values that are exported, and no others`, () => {
    const declared = exportsOf(file).filter(isValue).map(nameOf)
    assert.deepEqual(declared.sort(), Object.keys(module).sort())
  })

  test(`${file} declares the members that the classes have, and no others`, () => {
    for (const symbol of exportsOf(file).filter(({ flags }) => flags & ts.SymbolFlags.Class)) {
      const Class = module[symbol.name]
      const isError = Class.prototype instanceof Error
      const declared = checker.getPropertiesOfType(checker.getDeclaredTypeOfSymbol(symbol)).map(nameOf)
      for (const name of declared) {
        const exists =
          name in Class.prototype ||
          isError ||
          (symbol.name === 'Simulator' && ['urls', 'credentials', 'certificate'].includes(name))
        const onPrototype = name === '[Symbol.asyncDispose]' ? Symbol.asyncDispose in Class.prototype : exists
        assert.ok(onPrototype, `${symbol.name}.${name} is declared but does not exist`)
      }
      for (const name of membersOf(Class)) {
        if (isError && ['name'].includes(name)) continue
        assert.ok(declared.includes(name), `${symbol.name}.${name} exists but is not declared`)
      }
    }
  })
}

test('every code that the core reports is declared', () => {
  const alias = exportsOf('index.d.ts').find(({ name }) => name === 'ErrorCode')
  const declared = checker.getDeclaredTypeOfSymbol(alias).types.map(({ value }) => value)
  for (const code of Object.keys(BY_CODE)) assert.ok(declared.includes(code), code)
})

test('stats() and its parts have the figures that are declared, and no others', async (t) => {
  const credentials = { clientId: 'i', clientSecret: 's' }
  const journal = { path: await journalPath(t) }
  const client = new main.NotificationClient({ region: 'us-east-1', credentials, journal })
  t.after(() => client.close())
  const declared = (name) => {
    const symbol = exportsOf('index.d.ts').find((exported) => exported.name === name)
    return checker.getPropertiesOfType(checker.getDeclaredTypeOfSymbol(symbol)).map((property) => property.name)
  }
  const stats = client.stats()
  assert.deepEqual(Object.keys(stats).sort(), declared('ClientStats').sort())
  assert.deepEqual(Object.keys(stats.journal).sort(), declared('JournalStats').sort())
  assert.deepEqual(Object.keys(client.health()).sort(), declared('Health').sort())
  assert.deepEqual([stats.direct, stats.cursor], [null, null])

  const endpoint = { url: 'ws://127.0.0.1:1/', auth: 'none', resume: { parameter: 'since', pointer: '/at' } }
  const direct = new main.NotificationClient({ endpoint, cursor: { load: () => null, save() {} } })
  t.after(() => direct.close())
  assert.deepEqual(Object.keys(direct.stats().direct).sort(), declared('DirectStats').sort())
  assert.deepEqual(Object.keys(direct.stats().cursor).sort(), declared('CursorStats').sort())
})

test('every option is documented with its default and range', () => {
  const undocumented = []
  const walk = (type, prefix) => {
    for (const property of type.getProperties()) {
      const doc = ts.displayPartsToString(property.getDocumentationComment(checker))
      const declared = checker.getNonNullableType(checker.getTypeOfSymbol(property))
      const isGroup = declared.flags & ts.TypeFlags.Object && !declared.symbol?.name.match(/^[A-Z]/)
      const name = `${prefix}${property.name}`
      if (isGroup && declared.getProperties().length > 0 && declared.getCallSignatures().length === 0)
        walk(declared, `${name}.`)
      else if (!/Default|Required|Its abort/.test(doc)) undocumented.push(name)
      else if (declared.flags & ts.TypeFlags.Number && !/\d to [\d.]/.test(doc)) undocumented.push(`${name} (range)`)
    }
  }
  for (const documented of ['NotificationClientOptions', 'DirectClientOptions', 'DirectEndpoint']) {
    const symbol = exportsOf('index.d.ts').find(({ name }) => name === documented)
    walk(checker.getDeclaredTypeOfSymbol(symbol), '')
  }
  assert.deepEqual(undocumented, [])
})
