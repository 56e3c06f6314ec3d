import { spawn } from 'node:child_process'
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { storeSuite } from '../../testing/storeSuite.ts'
import { openLevelStore } from './openLevelStore.ts'

let root: string
let count = 0
const freshPath = (): string => join(root, `store-${count++}`)

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'sluice-level-'))
})
afterAll(() => rm(root, { recursive: true, force: true }))

storeSuite(
  'level on the disk',
  async () => {
    const path = freshPath()
    return { store: await openLevelStore(path), reopen: () => openLevelStore(path) }
  },
  { describe, it, expect },
)

/** Starts the writer, under a limit of file size if given; its lines come as they are written. */
function writer(path: string, bytes: number, fileBlocks?: number) {
  const script = fileURLToPath(new URL('../../../test/fixtures/crypto/storeWriter.ts', import.meta.url))
  const node = [process.execPath, '--conditions=@sluice/source', '--import', 'tsx', script, path, String(bytes)]
  // Without the trap the system would kill the writer instead of failing its write.
  const limit = fileBlocks === undefined ? '' : `trap '' XFSZ; ulimit -f ${fileBlocks};`
  const child = spawn('bash', ['-c', `${limit} exec "$@"`, 'bash', ...node], { stdio: ['ignore', 'pipe', 'inherit'] })
  return { child, lines: createInterface({ input: child.stdout }) }
}

describe('openLevelStore', () => {
  it('has after kill -9 all that it reported, and whole writes only', { timeout: 60_000 }, async () => {
    const path = freshPath()
    let reported = -1
    for (const enough of [1, 40, 120]) {
      const { child, lines } = writer(path, 1000)
      const ended = new Promise((resolve) => child.once('close', (_, signal) => resolve(signal)))
      // What it reports between the kill and its end counts too.
      for await (const line of lines) {
        reported = Math.max(reported, Number(/^wrote (\d+)$/.exec(line)![1]))
        if (reported >= enough) child.kill('SIGKILL')
      }
      expect(await ended).toBe('SIGKILL')

      const store = await openLevelStore(path)
      for (let i = 0; i <= reported; i++) expect((await store.get(`a/${i}`))?.[999]).toBe(i & 255)
      const keys = { a: [] as string[], b: [] as string[] }
      for (const side of ['a', 'b'] as const) for await (const [key] of store.list(`${side}/`)) keys[side].push(key.slice(2))
      expect(keys.a).toEqual(keys.b)
      await store.close()
    }
  })

  it('refuses a second process, and tells which path', { timeout: 30_000 }, async () => {
    const path = freshPath()
    const { child, lines } = writer(path, 10)
    const ended = new Promise((resolve) => child.once('close', resolve))
    await new Promise((resolve) => lines.once('line', resolve))
    await expect(openLevelStore(path)).rejects.toMatchObject({
      code: 'STORE_LOCKED',
      details: { path },
      message: expect.stringContaining(path) as unknown,
    })
    child.kill('SIGKILL')
    await ended
    await (await openLevelStore(path)).close()
  })

  it('knows a path by any name', async () => {
    const path = freshPath()
    const store = await openLevelStore(path)
    const link = freshPath()
    await symlink(path, link)
    for (const other of [link, relative(process.cwd(), path), `${path}/`]) {
      await expect(openLevelStore(other)).rejects.toMatchObject({ code: 'STORE_LOCKED' })
    }
    await store.close()
  })

  it('reports a full medium, and loses nothing that it reported before', { timeout: 60_000 }, async () => {
    const path = freshPath()
    const { child, lines } = writer(path, 10_000, 256)
    const said: string[] = []
    const ended = new Promise((resolve) => child.once('close', resolve))
    for await (const line of lines) said.push(line)
    await ended
    expect(said.pop()).toMatch(/^failed STORE_FAILED .*File too large/)
    expect(said.length).toBeGreaterThan(5)
    const store = await openLevelStore(path)
    for (let i = 0; i < said.length; i++) expect((await store.get(`b/${i}`))?.length).toBe(10_000)
    await store.write([{ key: 'after', value: Uint8Array.of(1) }])
    await store.close()
  })

  it('says so when the place is no directory or no store', async () => {
    const file = freshPath()
    await writeFile(file, 'a file')
    await expect(openLevelStore(file)).rejects.toMatchObject({ code: 'STORE_FAILED', details: { path: file } })
    const damaged = freshPath()
    await (await openLevelStore(damaged)).close()
    await writeFile(join(damaged, 'CURRENT'), 'no manifest')
    await expect(openLevelStore(damaged)).rejects.toMatchObject({ code: 'STORE_CORRUPT' })
  })
})
