'use strict'

const { LoadError } = require('./errors')

const PACKAGE = 'genesys-cloud-notifications'
const SUPPORTED = [
  'darwin-arm64',
  'darwin-x64',
  'linux-arm64-gnu',
  'linux-arm64-musl',
  'linux-x64-gnu',
  'linux-x64-musl',
  'win32-arm64-msvc',
  'win32-x64-msvc',
]

/** The platform as the binary packages name it, e.g. `linux-x64-gnu`. */
function platformName({ platform, arch } = process) {
  if (platform === 'linux') return `linux-${arch}-${isGlibc() ? 'gnu' : 'musl'}`
  return platform === 'win32' ? `win32-${arch}-msvc` : `${platform}-${arch}`
}

function isGlibc() {
  // Without this the report resolves host names, which can take seconds.
  const { excludeNetwork } = process.report
  process.report.excludeNetwork = true
  try {
    return Boolean(process.report.getReport().header.glibcVersionRuntime)
  } finally {
    process.report.excludeNetwork = excludeNetwork
  }
}

function loadError(cause) {
  const name = platformName()
  if (!SUPPORTED.includes(name)) {
    const hint = `Supported: ${SUPPORTED.join(', ')}. From a clone of the repository, "npm run build" builds one.`
    return explained(`${PACKAGE} has no binary for this platform (${name})`, hint, 'UNSUPPORTED_PLATFORM', cause)
  }
  const binary = `${PACKAGE}-${name}`
  const hint =
    `The optional package ${binary} is missing or broken. Reinstall without --omit=optional (npm install ${PACKAGE}), ` +
    'on the platform that runs it: node_modules copied from another platform lack it. ' +
    `Without a registry, install both tarballs: ${PACKAGE} and ${binary}. ` +
    'From a clone of the repository, run "npm run build".'
  return explained(`${PACKAGE} could not load its binary for this platform (${name})`, hint, 'LOAD_FAILED', cause)
}

/** Nobody is there yet who would print a hint: it belongs in the message too. */
function explained(message, hint, code, cause) {
  return new LoadError(`${message}. ${hint}`, { code, hint, cause })
}

/** The native addon; throws a LoadError that names the platform, the missing package and the remedy. */
function loadNative(load) {
  try {
    return load()
  } catch (cause) {
    throw loadError(cause)
  }
}

module.exports = { loadNative, loadError, platformName, SUPPORTED }
