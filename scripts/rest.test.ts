import { readFileSync } from 'node:fs'
import { beforeAll, describe, expect, test } from 'vitest'
import { restFiles } from './rest.ts'

const read = (name: string): string => readFileSync(new URL(`../docs/${name}`, import.meta.url), 'utf8')
let files: Readonly<Record<string, string>>
beforeAll(async () => {
  files = await restFiles()
}, 60_000)

describe.each(['channel', 'des'])('the service %s', (service) => {
  test.each([`openapi/${service}.json`, `${service}-rest.md`])('docs/%s is what the code makes', (name) => {
    expect(read(name)).toBe(files[name])
  })

  test('every operation has a place of its own, and a sentence for people', () => {
    const { paths } = JSON.parse(files[`openapi/${service}.json`]!) as {
      paths: Record<string, Record<string, { operationId: string; summary: string }>>
    }
    const titles = [...files[`${service}-rest.md`]!.matchAll(/^### (.*)$/gm)].map(([, title]) => title!)
    const operations = Object.entries(paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, { summary }]) => ({ title: `${method.toUpperCase()} ${path}`, summary })),
    )
    expect(operations.length).toBeGreaterThan(20)
    for (const { title, summary } of operations) {
      expect(titles.filter((each) => each === title), title).toHaveLength(1)
      expect(summary, title).toMatch(/^[A-Z].*[^.]$/)
    }
  })
})

test('the sections 1.1 to 1.17 and 2.1 to 2.4 of the seed are all there', () => {
  const named = new Set([...files['des-rest.md']!.matchAll(/^Seed ([\d.]+)\. /gm)].map(([, section]) => section))
  // The seed has no 1.5.
  const market = Array.from({ length: 17 }, (_, at) => `1.${at + 1}`).filter((section) => section !== '1.5')
  expect(named).toEqual(new Set([...market, '2.1', '2.2', '2.3', '2.4']))
})
