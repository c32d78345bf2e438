'use strict'

/**
 * Where building has come to; every generated function reads from here. A plain object with few members: what is read this
 * often must be found at once.
 */
function newCursor() {
  const cursor = { values: [], at: 0, makers: [], read }

  /** What a container slot holds. The encoding is described in crates/proto/src/shapes.rs. */
  function read() {
    const value = cursor.values[cursor.at++]
    if (typeof value !== 'number') return value
    if (value >= 0) return cursor.makers[value]()
    const items = []
    for (let left = -1 - value; left > 0; left--) items.push(read())
    return items
  }
  return cursor
}

/**
 * Builds bodies from the values that were sent without their keys, with one generated constructor per shape: content and order
 * of keys as `JSON.parse` would make them.
 */
class Shapes {
  /** False where code must not be generated (`--disallow-code-generation-from-strings`): then bodies come as text. */
  static isPossible = mayGenerate()

  #cursor = newCursor()

  /** Further shapes, `{ keys, containers }[]`, in the order of their numbers. */
  add(list) {
    const { makers } = this.#cursor
    for (const shape of list) {
      const number = makers.length
      // Most shapes are announced long before, or never, needed.
      makers.push(() => {
        makers[number] = generate(this.#cursor, shape)
        return makers[number]()
      })
    }
  }

  /** The body of which these are the values. */
  build(values) {
    const cursor = this.#cursor
    cursor.values = values
    cursor.at = 0
    const body = cursor.read()
    cursor.values = null
    return body
  }
}

/** Keys are foreign text: they stand in the code as JSON strings only. */
function generate(cursor, { keys, containers }) {
  const members = keys.map((key, i) => {
    const text = JSON.stringify(key)
    // Computed, it is a member like any other and not the prototype.
    const name = key === '__proto__' ? `[${text}]` : text
    return `${name}:${containers[i] ? 'cursor.read()' : 'cursor.values[cursor.at++]'}`
  })
  return new Function('cursor', `'use strict';return()=>({${members.join(',')}})`)(cursor)
}

function mayGenerate() {
  try {
    return new Function('return true')()
  } catch {
    return false
  }
}

module.exports = { Shapes }
