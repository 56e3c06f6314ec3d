/**
 * What all kill runs are made of.
 * @module
 */
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

/** Lets time pass. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

/** A port on loopback that nobody listens on now. */
export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise<void>((resolve) => server.close(() => resolve()))
  return port
}

/** A small generator of numbers in [0, 1) that repeats for a seed. Source: T. Ettinger, mulberry32, public domain. */
export function mulberry32(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

/** Programs of this folder in one file each, in a folder of their own: they start in a third of the time that way. */
export interface Programs {
  path(name: string): string
  remove(): Promise<void>
}

/** Bundles {@link Programs}. */
export async function bundle(...names: readonly string[]): Promise<Programs> {
  const root = fileURLToPath(new URL('../../', import.meta.url))
  // Within the project, so that its packages are found.
  const cache = join(root, 'node_modules', '.cache')
  await mkdir(cache, { recursive: true })
  const folder = await mkdtemp(join(cache, 'sluice-soak-'))
  await build({
    absWorkingDir: root,
    entryPoints: names.map((name) => `scripts/soak/${name}.ts`),
    outdir: folder,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    packages: 'external',
    conditions: ['@sluice/source'],
    logLevel: 'error',
  })
  return { path: (name) => join(folder, `${name}.mjs`), remove: () => rm(folder, { recursive: true, force: true }) }
}
