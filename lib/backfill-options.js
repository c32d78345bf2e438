'use strict'

const { choice, group, isObject, join, kind, number, optionalFunction, wrong } = require('./check')

const RECIPES = ['conversations', 'presence', 'routingStatus', 'activity', 'queueObservations', 'usageEvents']
const DAY = 86_400_000

const readMembers = group({
  recipes,
  custom: optionalFunction,
  marginMs: number({ min: 0, max: DAY, fallback: 60_000 }),
  latencyMs: number({ min: 0, max: DAY, fallback: 60_000 }),
})

/** `backfill`: `core` for the native side (null is off), and the user's own function if there is one. */
function backfill(value, path) {
  if (value === undefined || value === false) return { core: null }
  const { recipes, custom, ...times } = readMembers(members(value, path), path)
  if (recipes?.length === 0 && custom === undefined) {
    throw wrong(join(path, 'recipes'), `an empty list fills nothing; name some, or set backfill: false`)
  }
  const names = recipes ?? (custom === undefined ? RECIPES : [])
  return { core: { recipes: names, custom: custom !== undefined, ...times }, custom }
}

function members(value, path) {
  if (value === true) return {}
  if (typeof value === 'function') return { custom: value }
  if (!isObject(value)) throw wrong(path, `must be true, false, a function or an object, not ${kind(value)}`)
  return value
}

const recipe = choice({ of: RECIPES })

function recipes(value, path) {
  if (value === undefined) return undefined
  if (value === 'all') return RECIPES
  if (!Array.isArray(value)) throw wrong(path, `must be 'all' or an array of recipes, not ${kind(value)}`)
  const names = value.map((name, i) => {
    if (name === undefined) throw wrong(`${path}[${i}]`, 'must be a recipe, not undefined')
    return recipe(name, `${path}[${i}]`)
  })
  return [...new Set(names)]
}

module.exports = { RECIPES, backfill }
