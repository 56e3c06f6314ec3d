import { sql as statement, type Selectable } from 'kysely'
import { recoverPayer } from '../../../core/crypto/graphene/index.ts'
import { createBell } from '../../../core/bell.ts'
import { SluiceError } from '../../../core/errors.ts'
import type { SafeFetch } from '../../../core/http/safeFetch.ts'
import { readTransferParams } from '../../wire/index.ts'
import type { DueTransfer, ExchangeContext } from '../context.ts'
import type { ItemTable } from '../database.ts'
import { createRequests } from './createRequest.ts'
import { createEndings } from './endItems.ts'
import { ask, type Question } from './forward.ts'
import { holdKey } from './items.ts'
import { createCatalogue, type ProductOnSale } from './sources.ts'
import { createResults, hasAnswers, type FoundResult } from './result.ts'

/** The part of an exchange that takes requests, asks data sources and settles. See docs/des.md. */
export interface Exchange {
  /** A product, and who sells it now. @throws `NO_SUCH_PRODUCT` */
  product(id: number): Promise<ProductOnSale>
  /** As {@link Requests.create}. @returns the request's name. */
  create(productId: number, value: unknown, version?: number): Promise<string>
  /**
   * What became of a request.
   * @param wait - milliseconds to wait for its end at most; whatever is known then is the answer.
   * @param enough - answers with data that are as good as its end. @default all have ended
   * @throws `NO_SUCH_REQUEST`
   */
  result(id: string, wait?: number, enough?: number, signal?: AbortSignal): Promise<FoundResult>
  /** The result now, and again whenever something of it has changed, until its end or `enough`. @throws `NO_SUCH_REQUEST` */
  follow(id: string, signal: AbortSignal, enough?: number): AsyncIterable<FoundResult>
  /**
   * Cancels what was not forwarded yet, and releases its money. Costs nothing to ask: only who knows the request's name can.
   * @returns how many items.
   * @throws `NO_SUCH_REQUEST`
   */
  cancel(id: string): Promise<number>
  /** Begins to look after what other processes have left. */
  start(): Promise<void>
  /** Takes nothing more on, and waits for what is under way. */
  stop(): Promise<void>
}

/** Questions under way at once in a process. */
const AT_ONCE = 512
/** Milliseconds between two looks for what somebody should look after. */
const SWEEP_EVERY = 1_000
/** Milliseconds that an item is this process's own once it was taken. */
const LEASE = 5_000
/** Runs of a question: the second is for a process that ended in the first. */
const MAX_ATTEMPTS = 2
/** Milliseconds after which who waits looks again, for another process may have ended the item; doubled each time. */
const LOOK_AGAIN = 300
const LATEST_LOOK = 2_400
/** Milliseconds that a client may wait for a result at once. */
const LONGEST_WAIT = 60_000

/** Creates it. @param fetch - reaches data sources. */
export function createExchange(context: ExchangeContext, fetch: SafeFetch): Exchange {
  const { sql, settlement, ledger, clock, log, rules } = context
  const stopping = new AbortController()
  const underWay = new Set<Promise<void>>()
  /** Questions of a request that this process has under way: until one is over, there is nothing new to be seen. */
  const live = new Map<string, number>()
  /** Who waits for a change of a request. */
  const waiting = new Map<string, Set<() => void>>()

  const told = (requests: Iterable<string>): void => {
    for (const id of requests) for (const wake of waiting.get(id) ?? []) wake()
  }
  const endings = createEndings(context, told)
  const results = createResults(context)
  const catalogue = createCatalogue(context)
  const requests = createRequests(context, catalogue, () => Math.max(0, AT_ONCE - underWay.size))

  const run = async (question: Question): Promise<void> => {
    const { item, request, digest, params } = question
    try {
      const reply = await ask(context, fetch, question)
      const due = await endings.returned({ item, request, digest, params, reply })
      if (due) await submit([due])
    } catch (error) {
      // It stays as it is stored, and is taken up again when its time comes.
      log.error('a question was not brought to its end, trying again', {
        request,
        reason: error instanceof Error ? error.message : String(error),
      })
    }
  }
  const take = (questions: readonly Question[]): void => {
    for (const question of questions) {
      const { request } = question
      live.set(request, (live.get(request) ?? 0) + 1)
      const task = run(question).finally(() => {
        underWay.delete(task)
        const left = live.get(request)! - 1
        if (left > 0) live.set(request, left)
        else live.delete(request)
      })
      underWay.add(task)
    }
  }
  const submit = async (transfers: readonly DueTransfer[]): Promise<void> => {
    if (transfers.length > 0) await settlement.submit?.(transfers)
  }

  /** Takes up what is due: not asked yet, asked by a process that is no more, or without an end on the chain. */
  const sweep = async (): Promise<void> => {
    const room = AT_ONCE - underWay.size
    if (room <= 0) return
    const now = clock.now()
    const { rows } = await statement<
      Selectable<ItemTable> & { service_url: string | null; privacy: boolean }
    >`with due as materialized (
        select id from des_items where due_at <= ${now} order by due_at limit ${Math.min(room, 200)} for update skip locked
      ), taken as (
        update des_items i set attempt = attempt + 1, state = case when state = 'HELD' then 'FORWARDED' else state end,
          due_at = ${now + LEASE}::int8 + case when state = 'PENDING_SETTLEMENT' then 30000 else 0 end
        from due where i.id = due.id returning i.*
      ) select t.*, d.service_url, v.privacy from taken t
        join des_requests r on r.id = t.request join des_product_versions v on v.product = r.product and v.version = r.version
        left join des_datasources d on d.account = t.payee`.execute(sql.db)
    const due: DueTransfer[] = []
    for (const row of rows) {
      const params = readTransferParams(row.authorisation)
      const { id: item, request, digest, state, attempt, service_url: serviceUrl, privacy } = row
      if (state === 'PENDING_SETTLEMENT') {
        due.push({ item, digest, params, proxyMemo: row.proxy_memo! })
        continue
      }
      const timeout = privacy ? rules.privacyTimeout : rules.answerTimeout
      const late = Number(row.created_at) + 2 * timeout + LEASE <= now
      if (attempt > MAX_ATTEMPTS || late || serviceUrl === null) {
        const reply = { is: 'over', state: 'TIMEOUT', comment: `no answer within ${timeout} ms` } as const
        void endings.returned({ item, request, digest, params, reply }).catch(() => {}) // then the next look
        continue
      }
      // As long as it may take, and as sure as the first time: nobody else looks after it meanwhile.
      await sql.db
        .updateTable('des_items')
        .set({ due_at: now + timeout + LEASE })
        .where('id', '=', item)
        .where('state', '=', 'FORWARDED')
        .execute()
      take([
        {
          item,
          request,
          digest,
          product: row.product,
          payer: row.payer,
          payerKey: recoverPayer(params),
          params,
          sealed: row.question!,
          nonce: BigInt(row.nonce),
          serviceUrl,
          timeout,
        },
      ])
    }
    await submit(due)
  }

  let sweeping: Promise<void> | undefined
  const sweepAgain = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      await sweep().catch((error: unknown) =>
        log.error('what is due could not be looked for', { reason: error instanceof Error ? error.message : String(error) }),
      )
      await clock.sleep(SWEEP_EVERY, stopping.signal).catch(() => {})
    }
  }

  /**
   * @param enough - answers after which nothing more is waited for.
   * @param until - as long as anything is waited for.
   */
  async function* follow(
    id: string,
    signal: AbortSignal | undefined,
    enough = Infinity,
    until = Infinity,
  ): AsyncGenerator<FoundResult> {
    const bell = createBell()
    const mine = waiting.get(id) ?? new Set()
    waiting.set(id, mine.add(bell.ring))
    signal?.addEventListener('abort', bell.ring, { once: true })
    const isOver = (): boolean => signal?.aborted === true || stopping.signal.aborted || clock.now() >= until
    // The sleep is not called off: that would take longer than to let it end.
    const pause = (rung: Promise<void>, ms: number): Promise<void> =>
      Promise.race([rung, clock.sleep(Math.min(ms, until - clock.now()))])
    try {
      // Something that was asked is still out, so it isn't over: the answer to the first look is known.
      if (until < Infinity && enough === Infinity && live.has(id)) await pause(bell.wait(), LOOK_AGAIN)
      let again = LOOK_AGAIN
      for (let before = ''; ; ) {
        const rung = bell.wait()
        const found = await results.find(id)
        const now = JSON.stringify(found.result.datasources.map(({ status }) => status))
        if (now !== before) yield found
        before = now
        if (found.result.status !== 'IN_PROGRESS' || hasAnswers(found, enough) || isOver()) return
        await pause(rung, again)
        again = Math.min(2 * again, LATEST_LOOK)
      }
    } finally {
      signal?.removeEventListener('abort', bell.ring)
      mine.delete(bell.ring)
      if (mine.size === 0) waiting.delete(id)
    }
  }

  return {
    product: (id) => catalogue.find(id),

    async create(productId, value, version) {
      if (stopping.signal.aborted) throw new SluiceError('ABORTED', 'the exchange stops')
      const { id, questions } = await requests.create(productId, value, version)
      take(questions)
      return id
    },

    async result(id, wait = 0, enough = Infinity, signal) {
      if (wait <= 0) return results.find(id)
      let last: FoundResult
      for await (const found of follow(id, signal, enough, clock.now() + Math.min(wait, LONGEST_WAIT))) last = found
      return last!
    },

    follow: (id, signal, enough) => follow(id, signal, enough),

    async cancel(id) {
      const count = await sql.transaction(async (tx) => {
        const { rows } = await statement<{
          digest: string
        }>`update des_items set state = 'CANCELLED', comment = 'cancelled', due_at = null,
          question = null, ended_at = ${clock.now()} where request = ${id} and state = 'HELD' returning digest`.execute(tx)
        if (rows.length > 0)
          await ledger.releaseAll(
            tx,
            rows.map(({ digest }) => holdKey(digest)),
          )
        return rows.length
      })
      if (count > 0) told([id])
      else await results.find(id)
      return count
    },

    async start() {
      await settlement.start?.((tx, ends) => endings.settled(tx as never, ends))
      sweeping = sweepAgain()
    },

    async stop() {
      stopping.abort()
      told(waiting.keys())
      await sweeping
      await requests.settled()
      while (underWay.size > 0) await Promise.all(underWay)
      await endings.flushed()
      await settlement.stop?.()
    },
  }
}
