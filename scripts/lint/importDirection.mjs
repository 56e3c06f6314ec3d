/**
 * The lint rule that keeps imports running downwards: core <- contracts <- protocol <- payments <- the six modules,
 * which never import one another. `src/testing` and the tests may import anything; nothing else may import them.
 * @module
 */
import { relative, resolve, sep } from 'node:path'

/** What each folder of `src` may import beside itself. `.` stands for the files directly in `src`. */
const layers = ['core', 'contracts', 'protocol', 'payments']
const modules = ['buyer', 'seller', 'channel', 'des', 'settlement', 'kiosk']
const allowed = {
  ...Object.fromEntries(layers.map((layer, level) => [layer, layers.slice(0, level)])),
  ...Object.fromEntries(modules.map(module => [module, layers])),
  '.': layers,
}

const isTest = path => /\.(test|test-d|testing|bench)\.ts$/.test(path)

/** @type {import('eslint').Rule.RuleModule} */
export const importDirection = {
  meta: {
    type: 'problem',
    docs: { description: 'Imports run downwards only' },
    schema: [],
    messages: {
      direction: '{{from}} must not import {{to}}: imports run downwards only (docs/architecture.md)',
      unknown: 'src/{{from}} is no known folder: give it a place in scripts/lint/importDirection.mjs',
      byName: 'Inside src, import by a relative path and not by the name of the package',
    },
  },
  create(context) {
    const src = resolve(context.cwd, 'src')
    /** The folder of `src` that a file is in, or undefined outside of `src`. */
    const folderOf = file => {
      const path = relative(src, file)
      if (path.startsWith('..')) return undefined
      return path.includes(sep) ? path.split(sep)[0] : '.'
    }

    const file = resolve(context.cwd, context.filename)
    const from = folderOf(file)
    if (from === undefined || from === 'testing' || isTest(file)) return {}

    const check = source => {
      if (source?.type !== 'Literal' || typeof source.value !== 'string') return
      const name = source.value
      if (name === 'sluice-sdk' || name.startsWith('sluice-sdk/')) {
        context.report({ node: source, messageId: 'byName' })
      } else if (!(from in allowed)) {
        context.report({ node: source, messageId: 'unknown', data: { from } })
      } else if (name.startsWith('.')) {
        const target = resolve(file, '..', name)
        const to = folderOf(target) ?? relative(context.cwd, target)
        if (isTest(target) || (to !== from && !allowed[from].includes(to))) {
          context.report({ node: source, messageId: 'direction', data: { from: `src/${from}`, to: `src/${to}` } })
        }
      }
    }
    return {
      ImportDeclaration: node => check(node.source),
      ExportNamedDeclaration: node => check(node.source),
      ExportAllDeclaration: node => check(node.source),
      ImportExpression: node => check(node.source),
      TSImportType: node => check(node.source ?? node.argument?.literal),
    }
  },
}
