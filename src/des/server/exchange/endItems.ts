/**
 * Ends items: every way out of HELD and FORWARDED, and what the chain tells of PENDING_SETTLEMENT. Money moves in the same
 * transaction, so a hold is captured or released exactly once.
 * @module
 */
import { sql as statement, type Transaction } from 'kysely'
import type { PublicKeyText, SignedTransferParams } from '../../../core/crypto/graphene/index.ts'
import type { Tx } from '../../../core/sql/index.ts'
import { createBatcher } from '../../../core/sql/batcher.ts'
import type { DueTransfer, ExchangeContext, TransferEnd } from '../context.ts'
import type { Database, ItemState } from '../database.ts'
import { holdKey } from './items.ts'
import type { Reply } from './forward.ts'

/** A question that came back. */
export interface Return {
  readonly item: bigint
  readonly request: string
  readonly digest: string
  readonly params: SignedTransferParams
  readonly reply: Reply
}

/** See {@link createEndings}. */
export interface Endings {
  /**
   * Takes what came back for an item. Of several replies for one item the first counts.
   * @returns the transfer to submit where a chain has to make it.
   */
  returned(work: Return): Promise<DueTransfer | undefined>
  /** Books what the settlement tells. */
  settled(tx: Transaction<Database>, ends: readonly TransferEnd[]): Promise<void>
  /** Resolves when all that came back is stored. */
  flushed(): Promise<void>
}

/** Creates what ends the items of an exchange; `told` hears of requests in which something has changed, after the commit. */
export function createEndings(context: ExchangeContext, told: (requests: Iterable<string>) => void): Endings {
  const { sql, settlement, ledger, clock } = context

  const batches = createBatcher<Return, DueTransfer | undefined>({
    async run(all) {
      const ends = await sql.transaction(async (tx) => {
        // Whoever else has taken the item meanwhile has ended it, or will be too late.
        const { rows } = await statement<{ id: bigint }>`select id from des_items
          where id = any(${all.map(
            ({ item }) => item,
          )}::int8[]) and state in ('HELD', 'FORWARDED') order by id for update`.execute(tx)
        const open = new Set(rows.map(({ id }) => id))
        const mine = all.filter(({ item }) => open.delete(item))
        const answered = mine.flatMap((work) => (work.reply.is === 'answered' ? [{ ...work, reply: work.reply }] : []))
        const transfers = answered.map(
          ({ item, digest, params, reply }): DueTransfer => ({ item, digest, params, proxyMemo: reply.cid }),
        )
        const results = transfers.length > 0 && settlement.settle ? await settlement.settle(tx, transfers) : undefined
        const result = new Map(results?.map((end) => [end.item, end]))
        const now = clock.now()
        const failed: string[] = []
        const rowsOut = mine.map(({ item, digest, reply }) => {
          if (reply.is === 'over') {
            failed.push(digest)
            return row(item, reply.state, reply.comment, now)
          }
          const end = result.get(item)
          const answer = { cid: reply.cid, nonce: reply.nonce, key: reply.key }
          if (!end) return { ...row(item, 'PENDING_SETTLEMENT', null, null), ...answer, due: now + RESUBMIT }
          if (end.is === 'done') return { ...row(item, 'SUCCESS', null, now), ...answer, txid: end.txid }
          failed.push(digest)
          return row(item, 'PROXY_TRANSFER_ERROR', end.reason, now)
        })
        await write(tx, rowsOut)
        if (failed.length > 0) await ledger.releaseAll(tx, failed.map(holdKey))
        await prove(
          tx,
          rowsOut.flatMap(({ id, state }) => (state === 'SUCCESS' ? [id] : [])),
        )
        const due = new Map(results ? [] : transfers.map((transfer) => [transfer.item, transfer]))
        return all.map(({ item }) => due.get(item))
      })
      told(all.map(({ request }) => request))
      return ends
    },
  })

  return {
    returned: (work) => batches.add(work),

    async settled(tx, ends) {
      const now = clock.now()
      const { rows } = await statement<{ id: bigint; digest: string; request: string }>`select id, digest, request from des_items
        where id = any(${ends.map(({ item }) => item)}::int8[]) and state = 'PENDING_SETTLEMENT' order by id for update`.execute(
          tx,
        )
      const open = new Map(rows.map((each) => [each.id, each]))
      const mine = ends.filter(({ item }) => open.has(item))
      await write(
        tx,
        mine.map((end) =>
          end.is === 'done'
            ? { ...row(end.item, 'SUCCESS', null, now), txid: end.txid }
            : row(end.item, 'PROXY_TRANSFER_ERROR', end.reason, now),
        ),
      )
      const refused = mine.flatMap(({ is, item }) => (is === 'refused' ? [holdKey(open.get(item)!.digest)] : []))
      if (refused.length > 0) await ledger.releaseAll(tx, refused)
      await prove(
        tx,
        mine.flatMap(({ is, item }) => (is === 'done' ? [item] : [])),
      )
      told(rows.map(({ request }) => request)) // a little early: whoever waits looks again
    },

    flushed: () => batches.settled(),
  }

  /** Notes what is to be anchored of exchanges that are over. */
  async function prove(tx: Tx, items: readonly bigint[]): Promise<void> {
    if (items.length === 0) return
    // `evidenceDigest` of src/des/evidence.ts, by the database: one way there instead of two.
    await statement`insert into des_evidence (item, digest, created_at)
      select i.id, encode(sha256(convert_to(concat_ws('|', 'sluice des evidence 1', i.request, i.position, i.product, r.version, i.payer,
        i.payee, i.digest, i.cid, i.txid), 'UTF8')), 'hex'), ${clock.now()}::int8
      from des_items i join des_requests r on r.id = i.request where i.id = any(${[...items]}::int8[])
      on conflict (item) do nothing`.execute(tx)
  }
}

interface RowOut {
  readonly id: bigint
  readonly state: ItemState
  readonly comment: string | null
  readonly ended: number | null
  readonly due: number | null
  readonly cid: string | null
  readonly nonce: bigint | null
  readonly key: PublicKeyText | null
  readonly txid: string | null
}

/** Milliseconds after which a transfer without an end is submitted again. */
const RESUBMIT = 30_000

function row(id: bigint, state: ItemState, comment: string | null, ended: number | null): RowOut {
  return { id, state, comment, ended, due: null, cid: null, nonce: null, key: null, txid: null }
}

/** What is null stays as it was. */
async function write(tx: Tx, rows: readonly RowOut[]): Promise<void> {
  if (rows.length === 0) return
  await statement`update des_items i set state = n.state, comment = n.comment, ended_at = n.ended, due_at = n.due,
      question = case when n.ended is null then i.question end, cid = coalesce(n.cid, i.cid), proxy_memo = coalesce(n.cid, i.proxy_memo),
      answer_nonce = coalesce(n.nonce, i.answer_nonce), answer_key = coalesce(n.key, i.answer_key), txid = coalesce(n.txid, i.txid)
    from unnest(
      ${rows.map(({ id }) => id)}::int8[], ${rows.map(({ state }) => state)}::text[], ${rows.map(
        ({ comment }) => comment,
      )}::text[],
      ${rows.map(({ ended }) => ended)}::int8[], ${rows.map(({ due }) => due)}::int8[], ${rows.map(({ cid }) => cid)}::text[],
      ${rows.map(({ nonce }) => nonce)}::numeric[], ${rows.map(({ key }) => key)}::text[], ${rows.map(({ txid }) => txid)}::text[]
    ) as n (id, state, comment, ended, due, cid, nonce, key, txid) where i.id = n.id`.execute(tx)
}
