import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const root = fileURLToPath(new URL('../../', import.meta.url))
const pages = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '*.md'], {
  cwd: root,
  encoding: 'utf8',
})
  .split('\n')
  .filter((path) => path !== '' && existsSync(join(root, path)))

/** A page without its code, in which brackets mean other things. */
const proseOf = (path: string): string =>
  readFileSync(join(root, path), 'utf8')
    .replaceAll(/^```[\s\S]*?^```/gm, '')
    .replaceAll(/`[^`\n]*`/g, (code) => code.replaceAll(/[[\]()]/g, ''))

/** The anchors of a page, as GitHub makes them. */
function anchorsOf(path: string): Set<string> {
  const seen = new Map<string, number>()
  return new Set(
    [
      ...readFileSync(path, 'utf8')
        .replaceAll(/^```[\s\S]*?^```/gm, '')
        .matchAll(/^#+ (.*)$/gm),
    ].map(([, title]) => {
      const plain = title!.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      const name = plain
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
        .replaceAll(' ', '-')
      const times = seen.get(name) ?? 0
      seen.set(name, times + 1)
      return times === 0 ? name : `${name}-${times}`
    }),
  )
}

/** The links of a page that lead nowhere. */
function broken(page: string): string[] {
  const links = [...proseOf(page).matchAll(/\]\(([^)\s]+)\)/g)].map(([, link]) => link!)
  return links.filter((link) => {
    if (/^[a-z]+:/.test(link)) return false
    const [path = '', anchor] = link.split('#')
    const target = path === '' ? join(root, page) : join(root, dirname(page), path)
    if (!existsSync(target) || relative(root, target).startsWith('..')) return true
    if (anchor === undefined) return false
    return !statSync(target).isFile() || !anchorsOf(target).has(anchor)
  })
}

test.each(pages)('every link of %s leads somewhere', (page) => {
  expect(broken(page)).toEqual([])
})

test('the pages are found', () => {
  expect(pages).toContain('README.md')
  expect(pages).toContain('docs/des.md')
  expect(pages.length).toBeGreaterThan(20)
})
