import tseslint from 'typescript-eslint'

/** Imports point downwards only: commands → components → pipeline. A component never imports another component. */
const components = ['sources', 'buffers', 'transforms', 'sinks', 'simulator', 'telemetry', 'config', 'commands', 'kafka', 'https']
const forbid = (names) => ({
  'no-restricted-imports': [
    'error',
    {
      patterns: [...new Set(names)].map((name) => ({
        // the sink of that name is another folder
        group: [`**/${name}/**`, `**/${name}`, ...(name === 'kafka' ? ['!**/sinks/kafka', '!**/sinks/kafka/**'] : [])],
        message: `imports point downwards only (ARCHITECTURE.md); this folder may not reach into ${name}/`,
      })),
    },
  ],
})

export default tseslint.config(
  { ignores: ['dist/', 'node_modules/', 'coverage/'] },
  {
    files: ['**/*.ts'],
    extends: [...tseslint.configs.strictTypeChecked, ...tseslint.configs.stylisticTypeChecked],
    languageOptions: { parserOptions: { project: 'tsconfig.json', tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      '@typescript-eslint/no-unnecessary-condition': ['error', { allowConstantLoopConditions: true }],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
    },
  },
  { files: ['src/pipeline/**/*.ts'], rules: forbid(components) },
  ...['sources', 'buffers', 'transforms', 'sinks', 'simulator', 'telemetry'].map((name) => ({
    files: [`src/${name}/**/*.ts`],
    rules: forbid(components.filter((other) => other !== name && !(other === 'kafka' && (name === 'buffers' || name === 'sinks')) && !(other === 'https' && (name === 'sources' || name === 'sinks')))),
  })),
  // what sinks share stands above their folders
  ...['devo', 'console', 'file', 'kafka', 'http', 's3', 'relay', 'syslog', 'proof'].map((name, _index, sinks) => ({
    files: [`src/sinks/${name}/**/*.ts`],
    rules: forbid([...components.filter((other) => other !== 'sinks' && other !== 'https' && other !== name), ...sinks.filter((other) => other !== name && other !== 'proof')]),
  })),
  { files: ['src/config/**/*.ts'], rules: forbid(['buffers', 'simulator', 'telemetry', 'commands', 'kafka', 'https']) },
)
