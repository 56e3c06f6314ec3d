/**
 * Builds `dist/`:
 *
 * - `dist/esm`: one ES module per source file, so that a bundler drops every file nobody imports;
 * - `dist/cjs`: one CommonJS bundle per entry, with the packages inside that `require` cannot load;
 * - `dist/types`: one declaration bundle per entry, for both.
 * @module
 */
import { readFileSync, rmSync } from 'node:fs'
import { isBuiltin } from 'node:module'
import nodeResolve from '@rollup/plugin-node-resolve'
import { transform } from 'esbuild'
import { dts } from 'rollup-plugin-dts'
import { bundleName, entries, platforms, platformSources } from './scripts/entries.mjs'

const manifest = JSON.parse(readFileSync(new URL('package.json', import.meta.url), 'utf8'))
const packages = Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies })

/** ES-module-only packages: Node before 20.19 cannot `require` them, so the CommonJS bundles carry them. */
const bundledInCommonJs = ['@noble/curves', '@noble/hashes', 'canonicalize', 'multiformats']

const isFrom = (names, id) => names.some(name => id === name || id.startsWith(`${name}/`))
const isExternal = id => id in platforms || isBuiltin(id) || isFrom(packages, id)

const sources = Object.fromEntries(Object.entries(entries).map(([subpath, { source }]) => [bundleName(subpath), source]))

/** Removes the types from TypeScript; the type check is `npm run types`. */
const typescript = {
  name: 'typescript',
  async transform(code, id) {
    if (!id.endsWith('.ts')) return null
    const { code: output, map } = await transform(code, {
      loader: 'ts',
      target: 'es2022',
      sourcefile: id,
      sourcemap: true,
      tsconfigRaw: { compilerOptions: { verbatimModuleSyntax: true } },
    })
    return { code: output, map }
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
    external: isExternal,
    plugins: [clean, typescript],
    treeshake,
    onLog,
    output: {
      dir: 'dist/esm',
      format: 'es',
      preserveModules: true,
      preserveModulesRoot: 'src',
      sourcemap: true,
    },
  },
  {
    input: { ...sources, ...platformSources },
    external: id => isExternal(id) && !isFrom(bundledInCommonJs, id),
    plugins: [nodeResolve(), typescript],
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
      sourcemap: true,
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
