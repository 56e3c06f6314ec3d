/**
 * What all kill runs are made of.
 * @module
 */
import { mkdir, mkdtemp } from 'node:fs/promises'
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

/** A program of this folder in one file: it starts in a third of the time that way. Its folder is the caller's to remove. */
export async function bundle(name: string): Promise<string> {
  const root = fileURLToPath(new URL('../../', import.meta.url))
  const cache = join(root, 'node_modules', '.cache')
  await mkdir(cache, { recursive: true })
  const folder = await mkdtemp(join(cache, `sluice-${name}-`))
  await build({
    absWorkingDir: root,
    entryPoints: [`scripts/soak/${name}.ts`],
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
  return join(folder, `${name}.mjs`)
}
