import { sql as statement } from 'kysely'
import { encodeTransfer, proxyTransferInterface } from '../../../contracts/proxyTransfer.ts'
import { concatBytes, fromHex } from '../../../core/bytes.ts'
import type { Clock } from '../../../core/clock.ts'
import { isAccountId, type AccountId, type PublicKeyText } from '../../../core/crypto/graphene/index.ts'
import { isSluiceError } from '../../../core/errors.ts'
import type { Ledger } from '../../../core/ledger/index.ts'
import { createBatcher } from '../../../core/sql/batcher.ts'
import type { Sql, Tx } from '../../../core/sql/index.ts'
import type { DueTransfer, Settlement, TransferEnd } from '../context.ts'
import type { Database } from '../database.ts'
import { byDigest, ledgerAccount } from './names.ts'
import { MAX_UNDER_WAY, type Outbox } from './outbox.ts'

/** Options of {@link createChainSettlement}. */
export interface ChainSettlementOptions {
  readonly sql: Sql<Database>
  readonly ledger: Ledger
  readonly outbox: Outbox
  /** Address of `ProxyTransfer.sol`. */
  readonly proxyTransfer: string
  readonly clock: Clock
  /** Has whoever leads look for work now. */
  readonly wake: () => void
  /** Begins to compete for the lead, and ends it. */
  readonly start: () => void
  readonly stop: () => Promise<void>
}

/** A settlement on a chain, and what whoever leads does for it. */
export interface ChainSettlement extends Settlement {
  /** Makes calls of what waits, up to a hundred transfers each. */
  gather(): Promise<void>
  /** Tells the ends that are booked and not told yet, in the transaction. @returns how many. */
  tell(tx: Tx): Promise<number>
}

/** Transfers of one call: a transaction of about 4 million gas at most. */
const BATCH = 100
/** Milliseconds that a transfer waits for others to share its transaction. */
export const GATHER = 500
/** Ends told at once. */
const TELL = 500

/**
 * Creates a settlement on a chain. `submit` stores; whoever leads gathers and sends; the mirror books and has it told.
 *
 * A transfer is in one call for good, and a call is one transaction: so none is ever sent twice.
 */
export function createChainSettlement(options: ChainSettlementOptions): ChainSettlement {
  const { sql, ledger, outbox, proxyTransfer, clock, wake } = options
  let ended: ((tx: Tx, ends: readonly TransferEnd[]) => Promise<void>) | undefined

  // Not remembered: another process may have seen another key meanwhile.
  const keys = createBatcher<AccountId, PublicKeyText | undefined>({
    async run(accounts) {
      const numbers = accounts.map((account) => account.slice('1.2.'.length))
      const { rows } = await statement<{ account: bigint; public_key: PublicKeyText }>`
        select distinct on (account) account, public_key from des_chain_keys
        where account = any(${[...new Set(numbers)]}::int8[]) order by account, block desc, log desc`.execute(sql.db)
      const found = new Map(rows.map((row) => [`${row.account}`, row.public_key]))
      return numbers.map((number) => found.get(number))
    },
  })

  const submissions = createBatcher<DueTransfer, undefined>({
    async run(all) {
      // In one order for all, so that no two of them wait for one another.
      const transfers = [...new Map(all.map((transfer) => [transfer.digest, transfer])).values()].sort(byDigest)
      const rows = transfers.map((transfer) => ({ ...transfer, ...packed(transfer) }))
      // One that has ended already is told again: somebody asks.
      await statement`insert into des_chain_transfers (digest, item, packed, expiration, state, reason, created_at)
        select *, ${clock.now()}::int8 from unnest(
          ${rows.map(({ digest }) => digest)}::text[], ${rows.map(({ item }) => item)}::int8[],
          ${rows.map(({ bytes }) => bytes)}::bytea[], ${rows.map(({ params }) => params.expiration)}::int8[],
          ${rows.map(({ reason }) => (reason === null ? 'waiting' : 'refused'))}::text[], ${rows.map(
            ({ reason }) => reason,
          )}::text[])
        on conflict (digest) do update set item = excluded.item, packed = excluded.packed, expiration = excluded.expiration, told = false
        where des_chain_transfers.item is null or des_chain_transfers.state in ('done', 'refused')`.execute(sql.db)
      wake()
      return all.map(() => undefined)
    },
  })

  return {
    publicKeyOf: async (account) => (isAccountId(account) ? keys.add(account) : undefined),
    ledgerAccount: (tx, account, asset) => ledgerAccount(ledger, tx, account, asset),
    submit: async (transfers) => void (await Promise.all(transfers.map((transfer) => submissions.add(transfer)))),

    async start(tell) {
      ended = tell
      options.start()
    },

    stop: options.stop,

    async gather() {
      await sql.transaction(async (tx) => {
        const room = MAX_UNDER_WAY - (await outbox.open(tx))
        const { rows } = await statement<{ digest: string; packed: Uint8Array; created_at: bigint }>`
          select digest, packed, created_at from des_chain_transfers where state = 'waiting'
          order by created_at, item limit ${Math.max(0, room) * BATCH} for update skip locked`.execute(tx)
        for (let at = 0; at < rows.length; at += BATCH) {
          const batch = rows.slice(at, at + BATCH)
          if (batch.length < BATCH && clock.now() < Number(batch[0]!.created_at) + GATHER) return
          const data = proxyTransferInterface.encodeFunctionData('proxyTransfers', [
            concatBytes(...batch.map((row) => row.packed)),
          ])
          const call = await outbox.add(tx, {
            label: `${batch.length} proxy transfers`,
            target: proxyTransfer,
            data: fromHex(data),
          })
          await statement`update des_chain_transfers set state = 'sent', call = ${call}
            where digest = any(${batch.map(({ digest }) => digest)}::text[])`.execute(tx)
        }
      })
    },

    async tell(tx) {
      const { rows } = await statement<{ digest: string; item: bigint; state: 'done' | 'refused'; txid: string; reason: string }>`
        select digest, item, state, txid, reason from des_chain_transfers
        where item is not null and not told and state in ('done', 'refused') order by item limit ${TELL} for update skip locked`.execute(
          tx,
        )
      if (rows.length === 0 || !ended) return 0
      await statement`update des_chain_transfers set told = true where digest = any(${rows.map(
        ({ digest }) => digest,
      )}::text[])`.execute(tx)
      await ended(
        tx,
        rows.map(({ item, state, txid, reason }) => (state === 'done' ? { is: state, item, txid } : { is: state, item, reason })),
      )
      return rows.length
    },
  }
}

/** A transfer's bytes, or why it can't have any. */
function packed(transfer: DueTransfer): { readonly bytes: Uint8Array | null; readonly reason: string | null } {
  try {
    return { bytes: encodeTransfer(transfer), reason: null }
  } catch (error) {
    if (!isSluiceError(error, 'BAD_ARGUMENT')) throw error
    return { bytes: null, reason: error.code }
  }
}
