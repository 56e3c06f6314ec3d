import { sql as statement } from 'kysely'
import type { Rpc } from '../../../core/chain/rpc.ts'
import type { WatchedBlock } from '../../../core/chain/watcher.ts'
import type { Clock } from '../../../core/clock.ts'
import { SluiceError } from '../../../core/errors.ts'
import type { Logger } from '../../../core/log.ts'
import type { Sql, Tx } from '../../../core/sql/index.ts'
import type { Database } from '../database.ts'

/**
 * Forgets what nobody needs any more of what came from the chain.
 *
 * Blocks that have lain deep for long are closed: their logs are not booked again and not undone, whatever a node says. So what
 * keeps a log from being booked twice may go, and what was sent and told with it. Keys, the ledger and evidence stay.
 */
export interface Retention {
  /** The last block that is closed; -1 for none. */
  closedTo(tx: Tx): Promise<number>
  /**
   * How far back a reorganisation may be followed that says `block`.
   * @throws `WRONG_CHAIN` if it reaches below what is closed, and that is no longer on the chain.
   */
  rollBack(block: number): Promise<number>
  /** Prunes a bounded number of rows, once an hour or until nothing is left to prune. Failures are logged. */
  prune(block: WatchedBlock): Promise<void>
}

/** Milliseconds between two marks. */
const EVERY = 3_600_000
/**
 * Milliseconds for which all is kept. Authorisations are good for a day, and what was held for them ends another day later:
 * after a week nobody can ask to have a transfer made that was made already.
 */
const KEEP = 7 * 86_400_000
/** Blocks below the newest one for which all is kept, should the chain have stood still: as far back as the watcher can look. */
const DEPTH = 256
/** Rows of one statement. */
const BATCH = 1000
/** Transactions of one block. */
const ROUNDS = 10

/** Creates a {@link Retention}. Pruning goes on only as the chain does, by whoever watches it. */
export function createRetention({
  sql,
  rpc,
  clock,
  log,
}: {
  readonly sql: Sql<Database>
  readonly rpc: Rpc
  readonly clock: Clock
  readonly log: Logger
}): Retention {
  let next = -Infinity

  return {
    async closedTo(tx) {
      return (await closed(tx))?.block ?? -1
    },

    async rollBack(block) {
      const last = await sql.transaction(closed)
      if (!last || block >= last.block) return block
      const header = await rpc.header(last.block)
      if (header?.hash === last.hash) return last.block
      throw new SluiceError('WRONG_CHAIN', `block ${last.block} was another one: this is not the chain of this database`, {
        details: { block: last.block, expected: last.hash, actual: header?.hash },
      })
    },

    async prune(block) {
      if (clock.now() < next) return
      try {
        await mark(block)
        for (let round = 0; round < ROUNDS; round++) {
          if (await sql.transaction((tx) => forget(tx, block))) continue
          next = clock.now() + EVERY
          return
        }
      } catch (error) {
        next = clock.now() + EVERY
        log.warn('what is over could not be pruned, trying again in an hour', {
          reason: error instanceof Error ? error.message : String(error),
        })
      }
    },
  }

  /** Notes that this block was reached, and closes what was reached long ago. */
  async function mark({ number, hash }: WatchedBlock): Promise<void> {
    const now = clock.now()
    await sql.transaction(async (tx) => {
      await statement`insert into des_chain_marks (block, hash, at) select ${number}, ${hash}, ${now}
        where not exists (select from des_chain_marks where at > ${now - EVERY}) on conflict do nothing`.execute(tx)
      const { rows } = await statement<{ block: bigint }>`update des_chain_marks set closed = true where block = (
          select max(block) from des_chain_marks where at <= ${now - KEEP} and block <= ${number - DEPTH}
        ) and not closed returning block`.execute(tx)
      if (rows[0]) await statement`delete from des_chain_marks where block < ${rows[0].block}`.execute(tx)
    })
  }

  /** @returns whether there is more. */
  async function forget(tx: Tx, { timestamp }: WatchedBlock): Promise<boolean> {
    const last = await closed(tx)
    if (!last) return false
    const now = clock.now()
    // What was refused stays until its authorisation has been over for as long, also by the chain's time.
    const over = Math.floor((Math.min(now, timestamp * 1000) - KEEP) / 1000)
    const results = [
      await statement`delete from des_chain_entries where id in (
        select id from des_chain_entries where block <= ${last.block} order by block limit ${BATCH})`.execute(tx),
      await statement`delete from des_chain_transfers where digest in (select digest from des_chain_transfers
        where block <= ${last.block} and state = 'done' and (told or item is null) order by block limit ${BATCH})`.execute(tx),
      await statement`delete from des_chain_transfers where digest in (select digest from des_chain_transfers
        where expiration <= ${over} and created_at <= ${now - KEEP} and state = 'refused' and told
        order by expiration limit ${BATCH})`.execute(tx),
      // Of a root that a batch of evidence still waits for, the place is asked.
      await statement`delete from des_chain_anchors a using (select root, size from des_chain_anchors n where block <= ${last.block}
          and not exists (select from des_evidence_batches b where b.root = n.root and b.size = n.size and b.anchored_at is null)
          order by block limit ${BATCH}) old
        where a.root = old.root and a.size = old.size`.execute(tx),
      await statement`delete from des_chain_calls where id in (select id from des_chain_calls c where ended_at <= ${now - KEEP}
        and not exists (select from des_chain_transfers where call = c.id)
        and not exists (select from des_chain_anchors where call = c.id) order by id limit ${BATCH})`.execute(tx),
    ]
    return results.some(({ numAffectedRows }) => Number(numAffectedRows) === BATCH)
  }
}

async function closed(tx: Tx): Promise<{ readonly block: number; readonly hash: string } | undefined> {
  const { rows } = await statement<{ block: bigint; hash: string }>`select block, hash from des_chain_marks
    where closed order by block desc limit 1`.execute(tx)
  return rows[0] && { block: Number(rows[0].block), hash: rows[0].hash }
}
