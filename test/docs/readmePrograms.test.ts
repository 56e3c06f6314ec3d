/**
 * The programs of the README, as a reader pastes them: each runs by itself, and ends by itself.
 * @module
 */
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'

const root = fileURLToPath(new URL('../../', import.meta.url))
const readme = await readFile(join(root, 'README.md'), 'utf8')
const programs = [...readme.matchAll(/^```ts\n([^]*?)^```/gm)].map(([, text]) => ({ name: /create\w+(?=\()/.exec(text!)?.[0], text: text! }))

describe('the programs of the README', () => {
  it('are there', () => expect(programs.length).toBeGreaterThanOrEqual(3))

  it.each(programs)('run as pasted: $name', { timeout: 180_000 }, async ({ text }) => {
    // Inside the repository, so that the package finds itself.
    const folder = await mkdtemp(join(root, 'test', 'docs', '.readme-'))
    try {
      await writeFile(join(folder, 'main.mjs'), text)
      const run = promisify(execFile)(process.execPath, ['--conditions=@sluice/source', '--import', 'tsx', 'main.mjs'], {
        cwd: folder,
        timeout: 170_000,
      })
      const { stdout } = await run
      expect(stdout).not.toBe('')
    } finally {
      await rm(folder, { recursive: true })
    }
  })
})
