/**
 * Checks what `npm pack` would pack: that it is small enough, and that every link of every page in it leads to a file in it,
 * to a heading, or elsewhere.
 *
 *     node scripts/packed.mjs
 * @module
 */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Bytes of the package at most, unpacked. */
export const MAX_SIZE = 6_000_000

/**
 * @param {readonly string[]} files the paths in the package
 * @param {string} root where they lie
 * @returns {string[]} what is wrong, a sentence each
 */
function brokenLinks(files, root) {
  const packed = new Set(files.map(file => normalize(file)))
  const headings = new Map()
  const headingsOf = path => headings.get(path) ?? headings.set(path, anchors(readFileSync(join(root, path), 'utf8'))).get(path)
  return files.filter(file => file.endsWith('.md') && existsSync(join(root, file))).flatMap(file => {
    const text = readFileSync(join(root, file), 'utf8').replace(/^```[^]*?^```/gm, '')
    return [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, link]) => link).filter(link => !/^[a-z]+:/.test(link)).flatMap(link => {
      const [path, anchor] = link.split('#')
      const target = path === '' ? normalize(file) : normalize(join(dirname(file), path))
      if (!packed.has(target)) return [`${file}: ${link} is not in the package`]
      if (anchor && target.endsWith('.md') && !headingsOf(target).has(anchor)) return [`${file}: ${link} is no heading`]
      return []
    })
  })
}

/** What headings are called in links, as npm and GitHub do it. */
const anchors = text => new Set([...text.matchAll(/^#+ (.+)$/gm)].map(([, heading]) =>
  heading.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase().replace(/[^\p{L}\p{N}\s_-]/gu, '').trim().replace(/\s/g, '-')))

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const root = fileURLToPath(new URL('../', import.meta.url))
  const answer = execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], { cwd: root, encoding: 'utf8', maxBuffer: 2 ** 26, shell: process.platform === 'win32' })
  const [{ unpackedSize, files }] = Object.values(JSON.parse(answer))
  const faults = brokenLinks(files.map(({ path }) => path), root)
  if (unpackedSize > MAX_SIZE) faults.push(`the package has ${unpackedSize} bytes unpacked, ${MAX_SIZE} are allowed`)
  for (const fault of faults) console.error(fault)
  if (faults.length > 0) process.exit(1)
  console.log(`packed: ${files.length} files, ${(unpackedSize / 1e6).toFixed(1)} MB, every link leads somewhere`)
}
