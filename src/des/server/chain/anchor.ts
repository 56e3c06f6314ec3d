import { sql as statement } from 'kysely'
import { evidenceInterface } from '../../../contracts/evidence.ts'
import { fromHex, toHex } from '../../../core/bytes.ts'
import type { Clock } from '../../../core/clock.ts'
import { withDeadline } from '../../../core/deadline.ts'
import type { Sql } from '../../../core/sql/index.ts'
import type { Database } from '../database.ts'
import type { EvidenceAnchor } from '../evidence/evidence.ts'
import type { Outbox } from './outbox.ts'

/** Options of {@link createChainAnchor}. */
export interface ChainAnchorOptions {
  readonly sql: Sql<Database>
  readonly outbox: Outbox
  /** Address of `Evidence.sol`. */
  readonly evidence: string
  readonly clock: Clock
  /** Has whoever leads look for work now. */
  readonly wake: () => void
  /** Ends what waits. */
  readonly signal: AbortSignal
}

/** Anchors roots, and what whoever leads does for that. */
export interface ChainAnchor extends EvidenceAnchor {
  /** Makes calls of what waits. */
  gather(): Promise<void>
}

/** Milliseconds to wait for an anchor to be final; whoever asks again goes on waiting. */
const PATIENCE = 600_000
/** Milliseconds between two looks for it. */
const LOOK = 500

/** Creates what anchors roots through the outbox. A root is anchored once, whatever the batches that ask for it. */
export function createChainAnchor({ sql, outbox, evidence, clock, wake, signal }: ChainAnchorOptions): ChainAnchor {
  return {
    /** @throws `TIMEOUT` after ten minutes, `ABORTED` when the chain is let go of: it is anchored all the same. */
    async anchor(_batch, root, size) {
      const name = toHex(root).slice(2)
      await statement`insert into des_chain_anchors (root, size) values (${name}, ${size}) on conflict do nothing`.execute(sql.db)
      wake()
      return withDeadline({ what: 'an anchor', ms: PATIENCE, signal, clock }, async (ended) => {
        for (;;) {
          const { rows } = await statement<{
            txid: string | null
            block: bigint | null
          }>`select txid, block from des_chain_anchors
            where root = ${name} and size = ${size}`.execute(sql.db)
          const [{ txid, block }] = rows as [(typeof rows)[number]]
          if (txid !== null) return { txid, block: Number(block) }
          await clock.sleep(LOOK, ended)
        }
      })
    },

    async gather() {
      await sql.transaction(async (tx) => {
        const { rows } = await statement<{ root: string; size: bigint }>`select root, size from des_chain_anchors
          where call is null and txid is null order by root limit 100 for update`.execute(tx)
        for (const { root, size } of rows) {
          const data = evidenceInterface.encodeFunctionData('anchor', [`0x${root}`, size])
          const call = await outbox.add(tx, { label: `anchor of ${size} records`, target: evidence, data: fromHex(data) })
          await statement`update des_chain_anchors set call = ${call} where root = ${root} and size = ${size}`.execute(tx)
        }
      })
    },
  }
}
