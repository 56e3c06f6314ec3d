import * as v from 'valibot'
import type { Clock } from '../clock.ts'
import { withDeadline } from '../deadline.ts'
import { isSluiceError } from '../errors.ts'
import { plainFormat } from './problem.ts'
import { route, type Route } from './route.ts'

/** What has to be in order before a server takes requests, by name: each resolves, or rejects with what is wrong. */
export type Checks = Readonly<Record<string, () => Promise<unknown>>>

/** Milliseconds that all checks may take. */
const CHECK_TIME = 2000

/** Probes read it, whatever the service's own format is. */
const bare = plainFormat()

const healthAnswer = v.object({ status: v.literal('live') })
const readyAnswer = v.object({
  status: v.picklist(['ready', 'unready']),
  checks: v.pipe(v.record(v.string(), v.string()), v.description('ok, or the code of what is wrong, by name')),
})

/** The routes that every service has: whether it lives, whether it is ready, and its document. */
export function healthRoutes(options: { checks: Checks; clock: Clock; openapi: () => object }): readonly Route[] {
  const { checks, clock, openapi } = options
  const check = async (run: () => Promise<unknown>): Promise<string> => {
    try {
      await withDeadline({ what: 'the check', ms: CHECK_TIME, clock }, async () => run())
      return 'ok'
    } catch (error) {
      return isSluiceError(error) ? error.code : 'INTERNAL'
    }
  }
  /** Checks under way: all who ask meanwhile get what comes out of them. */
  let checking: Promise<v.InferInput<typeof readyAnswer>> | undefined
  const checkAll = async (): Promise<v.InferInput<typeof readyAnswer>> => {
    const all = await Promise.all(Object.entries(checks).map(async ([name, run]) => [name, await check(run)] as const))
    return { status: all.every(([, end]) => end === 'ok') ? 'ready' : 'unready', checks: Object.fromEntries(all) }
  }
  return [
    route({
      method: 'get',
      path: '/health',
      id: 'health',
      summary: 'Says that the process lives',
      access: 'public',
      immediate: true,
      format: bare,
      answer: healthAnswer,
      handle: () => ({ status: 'live' as const }),
    }),
    route({
      method: 'get',
      path: '/ready',
      id: 'ready',
      summary: 'Says whether requests may be sent here',
      access: 'public',
      immediate: true,
      format: bare,
      answer: readyAnswer,
      answers: { 503: readyAnswer },
      async handle() {
        checking ??= checkAll().finally(() => (checking = undefined))
        const ready = await checking
        return ready.status === 'ready' ? ready : Response.json(ready, { status: 503 })
      },
    }),
    route({
      method: 'get',
      path: '/openapi.json',
      id: 'getOpenApi',
      summary: 'This description, as OpenAPI 3.1',
      access: 'public',
      media: 'application/json',
      handle: () => Response.json(openapi()),
    }),
  ]
}
