import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { restFiles } from './rest.ts'

const files = Object.entries(restFiles())

test.each(files)('docs/%s is what the code makes', (name, text) => {
  expect(readFileSync(new URL(`../docs/${name}`, import.meta.url), 'utf8')).toBe(text)
})

test('every link of the reference has its place', () => {
  const text = Object.fromEntries(files)['channel-rest.md']!
  const places = new Set([...text.matchAll(/^#+ (.*)$/gm)].map(([, title]) =>
    title!.toLowerCase().replaceAll(/[^\w -]/g, '').replaceAll(' ', '-')))
  const links = [...text.matchAll(/\]\(#([^)]*)\)/g)].map(([, link]) => link!)
  expect(links.length).toBeGreaterThan(30)
  expect(links.filter((link) => !places.has(link))).toEqual([])
})
