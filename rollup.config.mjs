/**
 * Builds `dist/`:
 *
 * - `dist/esm`: one ES module per source file, so that a bundler drops every file nobody imports, and one per package that
 *   an ES module bundle for Node couldn't hold;
 * - `dist/cjs`: one CommonJS bundle per entry, with the packages inside that `require` cannot load;
 * - `dist/types`: one declaration bundle per entry, for both.
 * @module
 */
import { readFileSync, rmSync } from 'node:fs'
import { isBuiltin } from 'node:module'
import { fileURLToPath } from 'node:url'
import commonjs from '@rollup/plugin-commonjs'
import nodeResolve from '@rollup/plugin-node-resolve'
import { transform } from 'esbuild'
import { rollup } from 'rollup'
import { dts } from 'rollup-plugin-dts'
import { bundleName, entries, platforms, platformSources } from './scripts/entries.mjs'

const manifest = JSON.parse(readFileSync(new URL('package.json', import.meta.url), 'utf8'))
const packages = Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies })

/** ES-module-only packages: Node before 20.19 cannot `require` them, so the CommonJS bundles carry them. */
const bundledInCommonJs = ['@noble/curves', '@noble/hashes', 'canonicalize', 'multiformats']

/**
 * CommonJS packages that `require` modules of Node. In an ES module bundle of esbuild's such a `require` ends the program
 * as it starts, so `dist/esm` carries them as ES modules.
 */
const convertedToModules = ['pg', 'tweetnacl', 'ws']

const isFrom = (names, id) => names.some(name => id === name || id.startsWith(`${name}/`))
const isExternal = id => id in platforms || isBuiltin(id) || isFrom(packages, id)

const sources = Object.fromEntries(Object.entries(entries).map(([subpath, { source }]) => [bundleName(subpath), source]))

/** Removes the types from TypeScript; the type check is `npm run types`. */
const typescript = {
  name: 'typescript',
  async transform(code, id) {
    if (!id.endsWith('.ts')) return null
    const { code: output } = await transform(code, {
      loader: 'ts',
      target: 'es2022',
      sourcefile: id,
      tsconfigRaw: { compilerOptions: { verbatimModuleSyntax: true } },
    })
    return { code: output, map: null }
  },
}

/** Other people's code, without its blanks and comments but for licences: nobody reads it here. */
const slim = async code => (await transform(code, { loader: 'js', target: 'es2022', minifyWhitespace: true, legalComments: 'inline' })).code

const slimPackages = {
  name: 'slim-packages',
  transform: async (code, id) => (/node_modules.*\.[mc]?js$/.test(id) ? { code: await slim(code), map: null } : null),
}

/** Nothing of tweetnacl's that we call draws random numbers, and browsers run it too. */
const withoutRandomness = {
  name: 'without-randomness',
  resolveId: id => (id === 'crypto' ? '\0crypto' : null),
  load: id => (id === '\0crypto' ? 'export default {}' : null),
}

/** Puts the packages of {@link convertedToModules} into `dist/esm/packages`, one file each. */
const convert = {
  name: 'convert',
  resolveId(id) {
    if (!convertedToModules.includes(id)) return null
    return fileURLToPath(new URL(`src/packages/${id}.js`, import.meta.url))
  },
  async load(path) {
    const [, id] = /[\\/]src[\\/]packages[\\/](\w+)\.js$/.exec(path) ?? []
    if (!id) return null
    const bundle = await rollup({
      input: id,
      external: source => isBuiltin(source) && !(id === 'tweetnacl' && source === 'crypto'),
      plugins: [
        ...(id === 'tweetnacl' ? [withoutRandomness] : []),
        nodeResolve({ exportConditions: ['node'], preferBuiltins: true }),
        commonjs({ ignoreTryCatch: true }),
      ],
      onLog: (level, log, handle) => level !== 'warn' || log.code === 'CIRCULAR_DEPENDENCY' || handle(level, log),
    })
    const { output } = await bundle.generate({ format: 'es', exports: 'named' })
    return { code: await slim(output[0].code), moduleSideEffects: false }
  },
}

/** Empties `dist` once, before the first of the builds. */
const clean = {
  name: 'clean',
  buildStart() {
    rmSync('dist', { recursive: true, force: true })
  },
}

/** A warning is a defect: an unresolved import, a cycle, a missing export. */
const onLog = (level, log, handle) => {
  if (level !== 'warn') return handle(level, log)
  // Cycles inside a bundled package are its own affair.
  if (log.code === 'CIRCULAR_DEPENDENCY' && log.ids?.every(id => id.includes('node_modules'))) return
  handle('error', log)
}

const treeshake = { moduleSideEffects: false }

export default [
  {
    input: [...Object.values(sources), ...Object.values(platformSources)],
    external: id => isExternal(id) && !convertedToModules.includes(id),
    plugins: [clean, convert, typescript],
    treeshake,
    onLog,
    output: {
      dir: 'dist/esm',
      format: 'es',
      preserveModules: true,
      preserveModulesRoot: 'src',
    },
  },
  {
    input: { ...sources, ...platformSources },
    external: id => isExternal(id) && !isFrom(bundledInCommonJs, id),
    plugins: [nodeResolve(), slimPackages, typescript],
    treeshake,
    onLog,
    output: {
      dir: 'dist/cjs',
      format: 'cjs',
      entryFileNames: '[name].cjs',
      chunkFileNames: 'chunks/[name]-[hash].cjs',
      exports: 'named',
      // `await import()` stays as it is: it is how CommonJS reaches a package it cannot `require`.
      dynamicImportInCjs: true,
    },
  },
  {
    input: sources,
    // Both platforms have the same types.
    external: id => !(id in platforms) && isExternal(id),
    plugins: [dts({ tsconfig: './tsconfig.json' })],
    onLog,
    output: ['.d.ts', '.d.cts'].map(extension => ({
      dir: 'dist/types',
      format: 'es',
      entryFileNames: `[name]${extension}`,
      chunkFileNames: `chunks/[name]-[hash]${extension}`,
    })),
  },
]
