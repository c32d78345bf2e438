import js from '@eslint/js'

const node = Object.fromEntries(
  [
    'AbortController AbortSignal Buffer URL URLSearchParams WeakRef clearImmediate clearInterval clearTimeout console',
    'fetch globalThis performance process queueMicrotask setImmediate setInterval setTimeout structuredClone',
  ]
    .join(' ')
    .split(' ')
    .map((name) => [name, 'readonly']),
)
const commonjs = { __dirname: 'readonly', __filename: 'readonly', module: 'writable', require: 'readonly' }

export default [
  { ignores: ['target/', 'crates/', 'npm/', 'native.js', 'native.d.ts', '**/*.ts', '**/*.mts'] },
  js.configs.recommended,
  {
    files: ['**/*.js'],
    languageOptions: { sourceType: 'commonjs', ecmaVersion: 2023, globals: { ...node, ...commonjs } },
    rules: { strict: ['error', 'global'] },
  },
  {
    files: ['**/*.mjs'],
    languageOptions: { sourceType: 'module', ecmaVersion: 2024, globals: node },
  },
  {
    rules: {
      'no-console': 'off',
      'no-var': 'error',
      'prefer-const': 'error',
      eqeqeq: 'error',
      'no-promise-executor-return': 'off',
      'no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_', caughtErrors: 'none' }],
    },
  },
]
