import stylistic from '@stylistic/eslint-plugin'
import { defineConfig } from 'eslint/config'
import tseslint from 'typescript-eslint'
import { importDirection } from './scripts/lint/importDirection.mjs'

/** What this code base does without, and what it does instead. */
const forbidden = [
  { selector: 'ExportDefaultDeclaration', message: 'Export by name: a file holds one main thing and is named after it.' },
  { selector: 'TSEnumDeclaration', message: 'Use a union of string literals.' },
  { selector: 'ClassDeclaration, ClassExpression', message: 'Use a factory that returns a typed object: SluiceError is the one class.' },
  { selector: 'ExportAllDeclaration', message: 'List the exports by hand: what is public is decided, not collected.' },
  {
    selector: ':matches(ImportDeclaration, ExportNamedDeclaration, ImportExpression) > Literal.source[value=/^\\.(?!.*\\.(tsx?|mjs|json)$)/]',
    message: 'Write the extension of a relative import.',
  },
]

export default defineConfig(
  { ignores: ['dist/', 'out/', 'cache/', 'docs/api/', 'coverage/', '**/generated/', 'test/fixtures/'] },
  {
    files: ['**/*.{ts,tsx,mjs}'],
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    plugins: { '@stylistic': stylistic },
    rules: {
      '@stylistic/semi': ['error', 'never'],
      '@stylistic/quotes': ['error', 'single', { avoidEscape: true, allowTemplateLiterals: 'never' }],
      '@stylistic/indent': ['error', 2, { SwitchCase: 1, ignoredNodes: ['ConditionalExpression'] }],
      '@stylistic/comma-dangle': ['error', {
        arrays: 'always-multiline', objects: 'always-multiline', imports: 'always-multiline', exports: 'always-multiline',
        functions: 'only-multiline',
      }],
      '@stylistic/eol-last': 'error',
      '@stylistic/no-trailing-spaces': 'error',
      '@stylistic/no-multiple-empty-lines': ['error', { max: 1 }],
      '@stylistic/max-len': ['error', { code: 130, ignoreStrings: true, ignoreTemplateLiterals: true, ignoreRegExpLiterals: true, ignoreUrls: true }],
      'prefer-const': 'error',
      'no-var': 'error',
      'object-shorthand': 'error',
      eqeqeq: ['error', 'always', { null: 'ignore' }],
    },
  },
  {
    files: ['**/*.{ts,tsx}'],
    extends: [tseslint.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      'no-restricted-syntax': ['error', ...forbidden],
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'separate-type-imports', disallowTypeAnnotations: false }],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_', caughtErrorsIgnorePattern: '^_' }],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      // `T | undefined` is written out everywhere, also where `?` implies it.
      '@typescript-eslint/no-duplicate-type-constituents': ['error', { ignoreUnions: true }],
      // A port's method is async because one of its implementations has to wait.
      '@typescript-eslint/require-await': 'off',
      // Factories return objects of plain functions: there is no `this` to lose.
      '@typescript-eslint/unbound-method': 'off',
    },
  },
  {
    files: ['src/**/*.ts'],
    ignores: ['**/*.test.ts', 'src/testing/**'],
    plugins: { sluice: { rules: { 'import-direction': importDirection } } },
    rules: {
      'sluice/import-direction': 'error',
      'no-console': 'error',
    },
  },
  {
    // What runs in Node alone; that nothing else reaches it, scripts/entries.test.mjs checks.
    files: ['src/**/*.ts'],
    ignores: ['**/*.test.ts', 'src/testing/**', 'src/seller/**', 'src/core/platform/{node,loadPackage}.ts'],
    rules: { 'no-restricted-globals': ['error', 'Buffer', 'process', 'global', 'require', 'setImmediate', '__dirname', '__filename'] },
  },
  {
    files: ['src/core/errors.ts'],
    rules: { 'no-restricted-syntax': ['error', ...forbidden.filter(({ selector }) => !selector.startsWith('Class'))] },
  },
  {
    // Tools read these by their default export.
    files: ['*.config.ts'],
    rules: { 'no-restricted-syntax': 'off' },
  },
)
