/**
 * Where the data of an item comes from.
 * @module
 */
import type { Stats } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { assertArgument, SluiceError } from '../core/errors.ts'

/** Data of known length that can be read at any place. */
export interface Source {
  /** Bytes. */
  readonly size: number
  /** Opens it for one order. */
  open(): Promise<SourceReader>
}

/** An open {@link Source}. */
export interface SourceReader {
  /** Fills the targets, one after the other, from `offset` on. @throws `SOURCE_FAILED` when it can't fill them all. */
  read(offset: number, targets: readonly Uint8Array[]): Promise<void>
  /** Gives back what it holds open. */
  close(): Promise<void>
}

/** Data that is made while it is sold: called once for each order. */
export type LiveSource = () => AsyncIterable<Uint8Array>

/** What a seller may give as an item's data: the path of a file, bytes, a `Blob`, or a source of its own. */
export type SourceLike = string | Uint8Array | Blob | Source

/** Makes a source of what a seller gave as the argument `name`. @throws `BAD_ARGUMENT`, `SOURCE_FAILED`. */
export async function toSource(data: SourceLike, name = 'data'): Promise<Source> {
  if (typeof data === 'string') return fileSource(data)
  if (data instanceof Uint8Array) return bytesSource(data)
  if (data instanceof Blob) return blobSource(data)
  const is = typeof data === 'object' && (data as Source | null) !== null && typeof data.open === 'function' && Number.isSafeInteger(data.size)
  assertArgument(is, name, 'the path of a file, bytes, a Blob, or a source { size, open }')
  return data
}

function bytesSource(bytes: Uint8Array): Source {
  const reader: SourceReader = {
    read: (offset, targets) => {
      let at = offset
      for (const target of targets) {
        target.set(bytes.subarray(at, at + target.length))
        at += target.length
      }
      return Promise.resolve()
    },
    close: () => Promise.resolve(),
  }
  return { size: bytes.length, open: () => Promise.resolve(reader) }
}

function blobSource(blob: Blob): Source {
  const reader: SourceReader = {
    read: async (offset, targets) => {
      const length = targets.reduce((sum, target) => sum + target.length, 0)
      const bytes = new Uint8Array(await blob.slice(offset, offset + length).arrayBuffer())
      let at = 0
      for (const target of targets) {
        target.set(bytes.subarray(at, at + target.length))
        at += target.length
      }
    },
    close: () => Promise.resolve(),
  }
  return { size: blob.size, open: () => Promise.resolve(reader) }
}

/** A file that must stay as it is while it is on the menu: its size and time of change are checked at each opening. */
async function fileSource(path: string): Promise<Source> {
  const fail = (problem: string, cause?: unknown): SluiceError =>
    new SluiceError('SOURCE_FAILED', `file ${path} ${problem}`, { details: { path }, cause })
  const first = await stat(path).catch((cause: unknown) => {
    throw fail((cause as { code?: unknown }).code === 'ENOENT' ? 'does not exist' : 'cannot be read', cause)
  })
  // A pipe or device has no length, and reading it may wait for ever.
  if (!first.isFile()) throw fail(`is ${kindOf(first)}; give the path of a regular file`)
  return {
    size: first.size,
    open: async () => {
      const file = await open(path, 'r').catch((cause: unknown) => {
        throw fail('cannot be opened', cause)
      })
      const now = await file.stat()
      if (now.size !== first.size || now.mtimeMs !== first.mtimeMs) {
        await file.close()
        throw fail('has changed since it was put on the menu')
      }
      return {
        read: async (offset, targets) => {
          const length = targets.reduce((sum, target) => sum + target.length, 0)
          // One call for many chunks, each read to where it is sent from.
          const { bytesRead } = await file.readv(targets, offset).catch((cause: unknown) => {
            throw fail('cannot be read', cause)
          })
          if (bytesRead !== length) throw fail('is shorter than it was when it was put on the menu')
        },
        close: () => file.close(),
      }
    },
  }
}

function kindOf(stats: Stats): string {
  if (stats.isDirectory()) return 'a directory'
  if (stats.isFIFO()) return 'a pipe'
  return stats.isSocket() ? 'a socket' : 'a device'
}
