'use strict'

const { describe } = require('./errors')
const { isObject, kind } = require('./check')

/** Calls the user's `accessToken` function and hands its answer to the native client. Resolves with what it threw, if it did. */
async function answerTokenRequest(native, accessToken, { ticket, reason }, timeoutMs) {
  let timer
  const timeout = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`gave no token within ${timeoutMs} ms`)), timeoutMs)
    timer.unref()
  })
  try {
    const answer = await Promise.race([call(accessToken, reason), timeout])
    const { token, expiresInMs } = readAnswer(answer)
    native.provideToken(ticket, token, expiresInMs, undefined)
    return undefined
  } catch (error) {
    native.provideToken(ticket, undefined, undefined, describe(error))
    return error
  } finally {
    clearTimeout(timer)
  }
}

async function call(accessToken, reason) {
  return accessToken(reason)
}

/** The values stay out of the messages: they are secrets. */
function readAnswer(answer) {
  if (!isObject(answer)) throw new Error(`must give { accessToken, expiresInMs? }, not ${kind(answer)}`)
  const { accessToken: token, expiresInMs } = answer
  if (typeof token !== 'string' || token === '') throw new Error('gave no accessToken, which must be a string')
  if (expiresInMs !== undefined && !(typeof expiresInMs === 'number' && expiresInMs > 0)) {
    throw new Error('gave an expiresInMs that is not a positive number of milliseconds')
  }
  return { token, expiresInMs }
}

module.exports = { answerTokenRequest }
