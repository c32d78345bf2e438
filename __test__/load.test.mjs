import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { copyFile, cp, mkdtemp, readFile, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

import * as namespace from '../index.js'
import { SUPPORTED, loadError, platformName } from '../lib/load.js'

const root = fileURLToPath(new URL('..', import.meta.url))
const require = createRequire(import.meta.url)
const run = promisify(execFile)

test('CommonJS and ES modules see the same names', () => {
  const common = require('../index.js')
  assert.deepEqual(
    Object.keys(namespace)
      .filter((name) => name !== 'default' && name !== 'module.exports')
      .sort(),
    Object.keys(common).sort(),
  )
  assert.equal(namespace.NotificationClient, common.NotificationClient)
})

test('the package is reachable by its name and subpaths, and by nothing else', async () => {
  const code = `
    import { NotificationClient } from 'genesys-cloud-notifications'
    import { Simulator } from 'genesys-cloud-notifications/simulator'
    import manifest from 'genesys-cloud-notifications/package.json' with { type: 'json' }
    const inner = await import('genesys-cloud-notifications/lib/client.js').catch((error) => error.code)
    console.log(typeof NotificationClient, typeof Simulator, manifest.name, inner)`
  const { stdout } = await run(process.execPath, ['--no-warnings', '--input-type=module', '--eval', code], {
    cwd: root,
  })
  assert.equal(stdout, 'function function genesys-cloud-notifications ERR_PACKAGE_PATH_NOT_EXPORTED\n')
})

test('a missing binary is explained: platform, package, remedy', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'without-binary-'))
  t.after(() => rm(directory, { recursive: true }))
  await cp(join(root, 'lib'), join(directory, 'lib'), { recursive: true })
  for (const file of ['index.js', 'native.js', 'package.json']) await copyFile(join(root, file), join(directory, file))
  const code = `try { require('./index.js') } catch (error) { console.log(JSON.stringify({ ...error.toJSON(), cause: typeof error.cause })) }`
  const { stdout } = await run(process.execPath, ['--eval', code], { cwd: directory })
  const error = JSON.parse(stdout)
  assert.deepEqual([error.name, error.code, error.cause], ['LoadError', 'LOAD_FAILED', 'object'])
  assert.ok(error.message.includes(`genesys-cloud-notifications-${platformName()}`), error.message)
  assert.match(error.message, /--omit=optional/)
})

test('an unsupported platform is named as such', () => {
  const name = platformName({ platform: 'aix', arch: 'ppc64' })
  assert.equal(name, 'aix-ppc64')
  assert.ok(!SUPPORTED.includes(name))
  assert.ok(SUPPORTED.includes(platformName()), 'this platform is supported')
  assert.equal(loadError(new Error('x')).cause.message, 'x')
})

test('the names of the platform packages are those that the build targets make', async () => {
  const { napi } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'))
  const words = {
    x86_64: 'x64',
    aarch64: 'arm64',
    'pc-windows': 'win32',
    'unknown-linux': 'linux',
    'apple-darwin': 'darwin',
  }
  const named = napi.targets.map((target) => {
    const [arch, vendor, system, abi] = target.split('-')
    return [words[`${vendor}-${system}`], words[arch], abi].filter(Boolean).join('-')
  })
  assert.deepEqual(named.sort(), SUPPORTED)
})
