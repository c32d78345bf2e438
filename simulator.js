'use strict'

const { Simulator } = require('./lib/simulator')

module.exports = { Simulator }
