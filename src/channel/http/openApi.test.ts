import { readFileSync } from 'node:fs'
import { Validator } from '@seriousme/openapi-schema-validator'
import { expect, test } from 'vitest'
import { openApi } from './openApi.ts'
import { routes, VERSION } from './routes.ts'

test('the document is valid OpenAPI 3.1', async () => {
  const document = JSON.parse(JSON.stringify(openApi())) as Record<string, unknown>
  expect(await new Validator().validate(document)).toEqual({ valid: true })
  const { responses: _, ...broken } = openApi() as { responses?: object; paths: object }
  expect(await new Validator().validate({ ...broken, paths: { nowhere: {} } })).toMatchObject({ valid: false })
})

test('every route has its place, and every reference its end', () => {
  const text = JSON.stringify(openApi())
  const document = JSON.parse(text) as { paths: Record<string, object>; components: { schemas: object } }
  expect(Object.values(document.paths).flatMap((methods) => Object.keys(methods))).toHaveLength(routes.length)
  const references = new Set([...text.matchAll(/"#\/components\/schemas\/([^"]+)"/g)].map(([, name]) => name!))
  expect([...references].sort()).toEqual(['Channel', 'Payment', 'PaymentEvent', 'PendingTransfer', 'Problem'])
  expect(Object.keys(document.components.schemas)).toEqual(expect.arrayContaining([...references]))
  expect(new Set(routes.map(({ id }) => id)).size).toBe(routes.length)
})

test('the version is the package\'s', () => {
  const { version } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')) as { version: string }
  expect(VERSION).toBe(version)
})
