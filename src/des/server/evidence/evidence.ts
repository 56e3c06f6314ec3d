/**
 * Evidence of exchanges: many digests under one root, and the root on a chain.
 * @module
 */
import { sql as statement } from 'kysely'
import { fromHex, toHex } from '../../../core/bytes.ts'
import { createMerkleTree, leafHash, merkleRoot } from '../../../core/crypto/merkle.ts'
import { SluiceError } from '../../../core/errors.ts'
import type { Evidence, EvidenceItem } from '../../evidence.ts'
import { MAX_REQUEST_ITEMS } from '../../wire/index.ts'
import type { ExchangeContext } from '../context.ts'
import { assertRequest } from '../exchange/result.ts'
import { readCid, type NamedByCid } from './evidenceName.ts'

/** Writes roots to a chain. */
export interface EvidenceAnchor {
  /**
   * Writes the root of a batch. Idempotent by `batch`: one that is sent already is not sent again. Resolves when it is final.
   * @param root 32 bytes.
   */
  anchor(batch: bigint, root: Uint8Array, size: number): Promise<{ readonly txid: string; readonly block: number }>
}

/** Digests under one root at most. */
export const MAX_BATCH = 1000

/**
 * Gathers what has no proof yet under one root, and has the root anchored; what an earlier run left is anchored first.
 * @returns how many digests were gathered.
 */
export async function anchorEvidence({ sql, clock }: ExchangeContext, anchor: EvidenceAnchor | undefined): Promise<number> {
  const gathered = await sql.transaction(async (tx) => {
    const { rows } = await statement<{ item: bigint; digest: string }>`select item, digest from des_evidence where batch is null
      order by item limit ${MAX_BATCH} for update skip locked`.execute(tx)
    if (rows.length === 0) return 0
    const root = toHex(merkleRoot(rows.map(({ digest }) => leafOf(digest)))).slice(2)
    const { id } = await tx
      .insertInto('des_evidence_batches')
      .values({ root, size: rows.length, txid: null, block: null, created_at: clock.now(), anchored_at: null })
      .returning('id')
      .executeTakeFirstOrThrow()
    await statement`update des_evidence e set batch = ${id}, position = n.position from unnest(
      ${rows.map(({ item }) => item)}::int8[], ${rows.map(
        (_, i) => i,
      )}::int[]) as n (item, position) where e.item = n.item`.execute(tx)
    return rows.length
  })
  if (!anchor) return gathered
  const open = await sql.db
    .selectFrom('des_evidence_batches')
    .select(['id', 'root', 'size'])
    .where('anchored_at', 'is', null)
    .orderBy('id')
    .limit(100)
    .execute()
  for (const { id, root, size } of open) {
    const { txid, block } = await anchor.anchor(id, fromHex(`0x${root}`), size)
    await sql.db
      .updateTable('des_evidence_batches')
      .set({ txid, block, anchored_at: clock.now() })
      .where('id', '=', id)
      .where('anchored_at', 'is', null)
      .execute()
  }
  return gathered
}

/**
 * What proves the answers of a request that were paid for, or one answer.
 * @param name a request's, in hex or as a CID, or an answer's CID; see {@link readCid}.
 * @throws `NO_SUCH_REQUEST`
 */
export async function evidenceOf(context: ExchangeContext, name: string): Promise<readonly EvidenceItem[]> {
  const { sql } = context
  const named = readCid(name)
  const request = named?.digest ?? name
  const asked = named ? statement`(i.request = ${request} or i.cid = ${named.cid})` : statement`i.request = ${request}`
  const { rows } = await statement<
    Evidence & {
      digest: string
      batch: bigint | null
      leaf: number
      root: string
      size: number
      tx: string | null
      block: bigint | null
    }
  >`select i.request as "requestId", i.position, i.product as "productId", r.version, i.payer, i.payee, i.digest as authorisation, i.cid, i.txid,
      e.digest, e.batch, e.position as leaf, b.root, b.size, b.txid as tx, b.block
    from des_items i join des_requests r on r.id = i.request join des_evidence e on e.item = i.id
    left join des_evidence_batches b on b.id = e.batch where ${asked}
    order by i.request, i.position limit ${MAX_REQUEST_ITEMS}`.execute(sql.db)
  if (rows.length === 0) await assertRequest(context, request, named && unknown(name, named))
  const proofs = new Map<bigint, (index: number) => string>()
  for (const batch of new Set(rows.flatMap((row) => row.batch ?? []))) {
    const leaves = await sql.db
      .selectFrom('des_evidence')
      .select('digest')
      .where('batch', '=', batch)
      .orderBy('position')
      .execute()
    const tree = createMerkleTree(leaves.map(({ digest }) => leafOf(digest)))
    proofs.set(batch, (index) => toHex(tree.proof(index)).slice(2))
  }
  return rows.map(({ batch, leaf, root, size, tx, block, ...evidence }) => ({
    ...evidence,
    ...(batch !== null && {
      anchor: {
        root,
        size,
        index: leaf,
        proof: proofs.get(batch)!(leaf),
        ...(tx !== null && { txid: tx }),
        ...(block !== null && { block: Number(block) }),
      },
    }),
  }))
}

function leafOf(digest: string): Uint8Array {
  return leafHash(fromHex(`0x${digest}`))
}

function unknown(name: string, { isRaw }: NamedByCid): SluiceError {
  const hint = isRaw ? '; bafk… is a CID of bare bytes, an answer has Qm… or bafy…' : ''
  return new SluiceError('NO_SUCH_REQUEST', `there is no request ${name}, and no answer that was paid for${hint}`, {
    details: { requestId: name },
  })
}
