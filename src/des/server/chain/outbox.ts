import { sql as statement } from 'kysely'
import type { Sender } from '../../../core/chain/sender.ts'
import { toHex } from '../../../core/bytes.ts'
import type { Clock } from '../../../core/clock.ts'
import { isSluiceError } from '../../../core/errors.ts'
import type { Logger } from '../../../core/log.ts'
import { backoff } from '../../../core/retry.ts'
import type { Sql, Tx } from '../../../core/sql/index.ts'
import type { Database } from '../database.ts'

/** A call of a contract that is to happen once. */
export interface NewCall {
  /** What it is for, in log lines. */
  readonly label: string
  readonly target: string
  readonly data: Uint8Array
}

/** Calls that outlive a process: rows that are sent by whoever leads. */
export interface Outbox {
  /** Adds a call in the caller's transaction. */
  add(tx: Tx, call: NewCall): Promise<bigint>
  /** How many calls are open. */
  open(tx: Tx): Promise<number>
  /** Begins to send those that are open and not under way, a bounded number at a time. */
  pump(sender: Sender, signal: AbortSignal): Promise<void>
  /** Resolves when nothing is under way any more. */
  settled(): Promise<void>
}

/** Calls under way at a time. */
export const MAX_UNDER_WAY = 64

/**
 * Creates an {@link Outbox}. A call is sent under a key, of which the sender makes at most one transaction, across
 * restarts too. Only when that has reverted, or can never happen, there is another.
 */
export function createOutbox({
  sql,
  clock,
  log,
}: {
  readonly sql: Sql<Database>
  readonly clock: Clock
  readonly log: Logger
}): Outbox {
  const underWay = new Map<bigint, Promise<void>>()

  return {
    async add(tx, { label, target, data }) {
      const { rows } = await statement<{ id: bigint }>`insert into des_chain_calls (label, target, data, created_at)
        values (${label}, ${target}, ${data}, ${clock.now()}) returning id`.execute(tx)
      return rows[0]!.id
    },

    async open(tx) {
      const { rows } = await statement<{ count: bigint }>`select count(*) from des_chain_calls where ended_at is null`.execute(tx)
      return Number(rows[0]!.count)
    },

    async pump(sender, signal) {
      const { rows } = await statement<{ id: bigint }>`select id from des_chain_calls where ended_at is null
        and not id = any(${[...underWay.keys()]}::int8[]) order by id limit ${MAX_UNDER_WAY - underWay.size}`.execute(sql.db)
      for (const { id } of rows) {
        const one = see(id, sender, signal).finally(() => underWay.delete(id))
        underWay.set(id, one)
      }
    },

    async settled() {
      await Promise.all(underWay.values())
    },
  }

  /** Sees a call through to its end, unless the signal fires. */
  async function see(id: bigint, sender: Sender, signal: AbortSignal): Promise<void> {
    for (let failures = 0; !signal.aborted; ) {
      try {
        if (await sendOnce(id, sender, signal)) return
        failures = 0
      } catch (error) {
        if (signal.aborted) return
        const details = { call: id, reason: error instanceof Error ? error.message : String(error) }
        if (failures === 0) log.warn('a call could not be sent, trying again', details)
        await clock.sleep(backoff(++failures, { delay: 500, maxDelay: 30_000 }), signal).catch(() => {})
      }
    }
  }

  /** @returns whether the call has ended. */
  async function sendOnce(id: bigint, sender: Sender, signal: AbortSignal): Promise<boolean> {
    const { rows } = await statement<{ label: string; target: string; data: Uint8Array; attempt: number }>`
      select label, target, data, attempt from des_chain_calls where id = ${id} and ended_at is null`.execute(sql.db)
    const [call] = rows
    if (!call) return true
    const key = `call/${id}/${call.attempt}`
    try {
      await sender.send({ to: call.target, data: toHex(call.data) }, { key, label: call.label, signal })
    } catch (error) {
      // Mined and undone, or never to be mined: nothing has happened, so there may be another transaction.
      if (isSluiceError(error, 'TRANSACTION_REVERTED') || isSluiceError(error, 'TRANSACTION_REPLACED')) {
        log.warn('a call has come to nothing, sending another transaction', { call: id, code: error.code })
        await statement`update des_chain_calls set attempt = attempt + 1 where id = ${id} and attempt = ${call.attempt}`.execute(
          sql.db,
        )
        await sender.forget(key)
        throw error
      }
      // What it would do has been done: by a transaction whose record was lost.
      if (!isSluiceError(error, 'ANCHORED_ALREADY')) throw error
    }
    await statement`update des_chain_calls set ended_at = ${clock.now()}, data = '' where id = ${id}`.execute(sql.db)
    await sender.forget(key)
    return true
  }
}
