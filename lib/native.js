'use strict'

const { loadNative } = require('./load')

module.exports = loadNative(() => require('../native.js'))
