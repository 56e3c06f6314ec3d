import { randomUUID } from 'node:crypto'
import { readdir, readlink, rm, truncate, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeEach, describe, expect, it } from 'vitest'
import { toSource, type SourceLike } from './source.ts'

const data = Uint8Array.from({ length: 1050 }, (_, i) => i * 3)
const path = join(tmpdir(), `sluice-source-${randomUUID()}`)

beforeEach(() => writeFile(path, data))
afterAll(() => rm(path, { force: true }))

describe.each<[string, () => SourceLike]>([
  ['bytes', () => data],
  ['a Blob', () => new Blob([data])],
  ['a file', () => path],
])('a source of %s', (_name, make) => {
  it('fills what it is given, from where it is told', async () => {
    const source = await toSource(make())
    expect(source.size).toBe(1050)
    const reader = await source.open()
    const targets = [new Uint8Array(10), new Uint8Array(0), new Uint8Array(300), new Uint8Array(40)]
    await reader.read(700, targets)
    expect(Buffer.concat(targets)).toEqual(Buffer.from(data.subarray(700, 1050)))
    await reader.read(0, [targets[0]!])
    expect(targets[0]).toEqual(data.slice(0, 10))
    await reader.close()
  })

  it('is read by many at once', async () => {
    const source = await toSource(make())
    const readers = await Promise.all([source.open(), source.open(), source.open()])
    const parts = await Promise.all(
      readers.map(async (reader, i) => {
        const part = new Uint8Array(350)
        await reader.read(350 * i, [part])
        await reader.close()
        return part
      }),
    )
    expect(Buffer.concat(parts)).toEqual(Buffer.from(data))
  })
})

describe('a file', () => {
  const failed = { code: 'SOURCE_FAILED', details: { path } }

  it('must be there', async () => {
    await rm(path)
    await expect(toSource(path)).rejects.toMatchObject(failed)
    await writeFile(path, data)
    const source = await toSource(path)
    await rm(path)
    await expect(source.open()).rejects.toMatchObject(failed)
  })

  it('must not be another than it was', async () => {
    const source = await toSource(path)
    await (await source.open()).close()
    await writeFile(path, data)
    await utimes(path, new Date(), new Date(Date.now() + 5000))
    await expect(source.open()).rejects.toMatchObject(failed)
  })

  it('must not be cut short while it is read', async () => {
    const reader = await (await toSource(path)).open()
    await truncate(path, 500)
    await expect(reader.read(400, [new Uint8Array(200)])).rejects.toMatchObject(failed)
    await reader.close()
  })

  it.runIf(process.platform === 'linux')('is let go when it is closed, and when it has changed', async () => {
    const handles = async (): Promise<number> => {
      const links = await Promise.all((await readdir('/proc/self/fd')).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')))
      return links.filter((link) => link === path).length
    }
    const source = await toSource(path)
    const readers = await Promise.all(Array.from({ length: 5 }, () => source.open()))
    expect(await handles()).toBe(5)
    for (const reader of readers) await reader.close()
    await utimes(path, new Date(), new Date(Date.now() + 5000))
    await expect(source.open()).rejects.toMatchObject(failed)
    expect(await handles()).toBe(0)
  })
})
