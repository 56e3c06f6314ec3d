/**
 * What proves an answer that was paid for: a digest of its circumstances, and its place in a tree whose root is on a chain.
 * @module
 */
import * as v from 'valibot'
import { assertArguments, computeFrom, shape, text } from '../core/argument.ts'
import { equalBytes, fromHex, utf8 } from '../core/bytes.ts'
import { engine } from '../core/crypto/engine.ts'
import type { AccountId } from '../core/crypto/graphene/index.ts'
import { leafHash, verifyProof } from '../core/crypto/merkle.ts'
import { accountId, optional, productId, readBy, requestName, smallInteger } from './wire/fields.ts'

/** The circumstances of one answer. */
export interface Evidence {
  /** 64 hex digits. */
  readonly requestId: string
  /** Which item of the request, from 0. */
  readonly position: number
  /** What was asked for. */
  readonly productId: number
  /** The product's, when it was asked. */
  readonly version: number
  /** The merchant. */
  readonly payer: AccountId
  /** The data source. */
  readonly payee: AccountId
  /** SHA-256 of the unsigned request_params: 64 hex digits. */
  readonly authorisation: string
  /** CIDv0 of the sealed answer: of the bytes of its text. */
  readonly cid: string
  /** The transfer: 40 or 64 hex digits. */
  readonly txid: string
}

/** Where evidence lies in a batch. */
export interface EvidenceAnchor {
  /** 64 hex digits; what counts is the one on the chain. */
  readonly root: string
  /** Leaves of the tree. */
  readonly size: number
  /** Which leaf, from 0. */
  readonly index: number
  /** Hashes of the siblings from the leaf up, 64 hex digits each, one after another. */
  readonly proof: string
  /** The transaction that wrote the root to the chain; undefined until then. */
  readonly txid?: string | undefined
  /** The block that it is in. */
  readonly block?: number | undefined
}

/** Evidence of one answer as the exchange tells it. */
export interface EvidenceItem extends Evidence {
  /** SHA-256 of {@link evidenceText} in hex, as the exchange has it. */
  readonly digest: string
  /** Undefined until it is in a batch. */
  readonly anchor?: EvidenceAnchor | undefined
}

/** The text that stands for evidence: its fields in order, with bars between them. None of them holds a bar. */
export function evidenceText(evidence: Evidence): string {
  assertArguments({ evidence }, { evidence: shape('evidence as an exchange gives it', { requestId: text(1), authorisation: text(1), cid: text() }) })
  const { requestId, position, productId, version, payer, payee, authorisation, cid, txid } = evidence
  return ['sluice des evidence 1', requestId, position, productId, version, payer, payee, authorisation, cid, txid].join('|')
}

/** What goes into the tree as a leaf, whose hash is `SHA-256(0x00 ‖ digest)`: SHA-256 of {@link evidenceText}, 32 bytes. */
export function evidenceDigest(evidence: Evidence): Uint8Array {
  return engine().sha256(utf8(evidenceText(evidence)))
}

/**
 * Whether evidence is in the tree that its anchor names: calculates the leaf from the circumstances and follows the proof.
 *
 * That the root is the one on the chain, see by the anchor's `txid`.
 */
export function verifyEvidence(evidence: EvidenceItem): boolean {
  return computeFrom('evidence', 'evidence as an exchange gives it', () => verify(evidence))
}

function verify(evidence: EvidenceItem): boolean {
  const { digest, anchor } = evidence
  const own = evidenceDigest(evidence)
  if (!anchor || !equalBytes(own, bytesOf(digest))) return false
  return verifyProof(bytesOf(anchor.root), anchor.size, anchor.index, leafHash(own), bytesOf(anchor.proof))
}

/** The most items that one answer may hold. */
const MAX_ITEMS = 1024
const hex = (pattern: RegExp, expected: string) => v.pipe(v.string('must be text'), v.regex(pattern, `must be ${expected}`))
const digest = /* @__PURE__ */ hex(/^[0-9a-f]{64}$/, '64 hex digits')
const txid = /* @__PURE__ */ hex(/^([0-9a-f]{40}|[0-9a-f]{64})$/, '40 or 64 hex digits')
const count = /* @__PURE__ */ smallInteger(0)

const answer = /* @__PURE__ */ v.object({
  items: v.pipe(
    v.array(
      v.object({
        requestId: requestName,
        position: count,
        productId,
        version: count,
        payer: accountId,
        payee: accountId,
        authorisation: digest,
        cid: hex(/^Qm[1-9A-HJ-NP-Za-km-z]{44}$/, 'a CID, Qm and 44 characters'),
        txid,
        digest,
        anchor: optional(
          v.object({
            root: digest,
            size: count,
            index: count,
            // 53 levels at most: sizes are safe integers.
            proof: hex(/^([0-9a-f]{64}){0,53}$/, 'hashes of 64 hex digits each'),
            txid: optional(txid),
            block: optional(count),
          }),
        ),
      }),
      'must be a list',
    ),
    v.maxLength(MAX_ITEMS, `must have at most ${MAX_ITEMS} items`),
  ),
})

/** Reads what the exchange says of a request's answers: `{ items }`, after `readJson`. @throws `BAD_MESSAGE` naming the field. */
export function readEvidence(value: unknown): readonly EvidenceItem[] {
  return readBy(answer, value, 'evidence').items
}

/** Writes what {@link readEvidence} reads, for `writeJson`. */
export function writeEvidence(items: readonly EvidenceItem[]): { items: readonly EvidenceItem[] } {
  return { items }
}

/** Hex without 0x; nothing at all for what is none. */
function bytesOf(text: string): Uint8Array {
  return /^([0-9a-f]{2})*$/.test(text) ? fromHex(`0x${text}`) : new Uint8Array(0)
}
