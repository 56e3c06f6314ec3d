import nodeModule from 'node:module'
import { isAbsolute } from 'node:path'
import { SluiceError } from '../errors.ts'

/**
 * Loads a package that must lie on the disk as it was installed, since it reads files of its own (a binary, WebAssembly);
 * Node only.
 *
 * A bundler doesn't see the name and so leaves the package alone. It is looked for beside this file, or beside the bundle
 * that this file became part of, and then beside the program that was started.
 * @throws what `require` throws.
 */
export function loadPackage<T>(name: string): T {
  let missing: unknown
  for (const from of places()) {
    try {
      // By its full name: webpack would put something of its own in the place of a bare `createRequire`.
      return nodeModule.createRequire(from)(name) as T
    } catch (cause) {
      if (!isMissing(cause)) throw cause
      missing ??= cause
    }
  }
  throw missing
}

/**
 * Imports a package that a bundler may take in.
 *
 * A CommonJS package that requires modules of Node can't run inside an ES module bundle of esbuild's; the one on the disk
 * takes its place.
 * @throws `BAD_ARGUMENT` saying what to do if there is none.
 */
export async function importPackage<T>(load: () => Promise<T>, name: string): Promise<T> {
  try {
    return await load()
  } catch (cause) {
    try {
      return loadPackage<T>(name)
    } catch {
      throw new SluiceError(
        'BAD_ARGUMENT',
        `the package ${name} doesn't run inside this bundle, and is not beside it: install it there, or bundle to CommonJS`,
        { cause },
      )
    }
  }
}

/** Whether {@link loadPackage} found no such package: one that is there and doesn't work fails otherwise. */
export function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'MODULE_NOT_FOUND'
}

/** Where to look. Bundlers take away `import.meta.url` in a CommonJS bundle, and `__filename` in an ES module. */
function places(): string[] {
  const candidates: unknown[] = [typeof __filename === 'string' ? __filename : undefined, import.meta.url, process.argv[1]]
  return candidates.filter(
    (place): place is string => typeof place === 'string' && (isAbsolute(place) || place.startsWith('file:')),
  )
}

/** Tells the owner, once for each sentence, what works more slowly than it could: on stderr unless warnings are off. */
export function notice(sentence: string): void {
  if (told.has(sentence)) return
  told.add(sentence)
  process.emitWarning(sentence, 'SluiceWarning')
}

const told = new Set<string>()
