import { mkdir, realpath } from 'node:fs/promises'
import type { AsyncCloseable } from '../dispose.ts'
import { SluiceError } from '../errors.ts'
import { loadPackage } from '../platform/loadPackage.ts'
import { levelStore } from './levelStore.ts'
import type { Store } from './store.ts'

/**
 * Opens a LevelDB store in a directory, made if needed; Node only.
 *
 * A write is on the disk (fsync) when it resolves.
 * @throws `STORE_LOCKED` if this or another process has it open, `STORE_CORRUPT` if LevelDB finds it damaged,
 * `STORE_FAILED` if the directory can't be used, or LevelDB (the package `classic-level`) doesn't load.
 */
export async function openLevelStore(path: string): Promise<Store & AsyncCloseable> {
  const details = { path }
  const name = `the store at ${path}`
  const { ClassicLevel } = loadLevel(name)
  try {
    await mkdir(path, { recursive: true })
    // LevelDB tells its own locks apart by the text of the path: two texts must not mean one directory.
    const database = new ClassicLevel(await realpath(path))
    await database.open()
    return levelStore(database, { name })
  } catch (cause) {
    switch (levelCode(cause)) {
      case 'LEVEL_LOCKED':
        throw new SluiceError('STORE_LOCKED', `${name} is already open: close it, or give each process a path of its own`, {
          cause,
          details,
        })
      case 'LEVEL_CORRUPTION':
        throw new SluiceError('STORE_CORRUPT', `${name} is damaged: restore it from a copy`, { cause, details })
      default:
        throw new SluiceError('STORE_FAILED', `${name} could not be opened`, { cause, details })
    }
  }
}

/** LevelDB, when the first store is opened. Nothing may take its place: what it holds would be out of sight. */
function loadLevel(name: string): typeof import('classic-level') {
  try {
    return loadPackage('classic-level')
  } catch (cause) {
    throw new SluiceError(
      'STORE_FAILED',
      `${name} needs the package classic-level beside the program, with its binary for this machine: ` +
        'npm install classic-level, or pass a store of your own',
      { cause },
    )
  }
}

/** The code of LevelDB's own error, which abstract-level hides in the cause of "not open". */
function levelCode(error: unknown): unknown {
  for (let at = error; at instanceof Error; at = at.cause) {
    if ('code' in at && typeof at.code === 'string' && at.code !== 'LEVEL_DATABASE_NOT_OPEN') return at.code
  }
  return undefined
}
