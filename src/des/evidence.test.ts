import { describe, expect, it } from 'vitest'
import { toHex, utf8 } from '../core/bytes.ts'
import { engine } from '../core/crypto/engine.ts'
import { createMerkleTree, leafHash } from '../core/crypto/merkle.ts'
import {
  evidenceDigest,
  evidenceText,
  readEvidence,
  verifyEvidence,
  writeEvidence,
  type Evidence,
  type EvidenceItem,
} from './evidence.ts'

const hex = (bytes: Uint8Array): string => toHex(bytes).slice(2)
const evidence = (position: number): Evidence => ({
  requestId: 'f4d6d30fb9d33813e801869723cfe75d20380f71dca43079b72a9c580fd3732e',
  position,
  productId: 1,
  version: 3,
  payer: '1.2.20',
  payee: '1.2.11',
  authorisation: '09907df20ef88f589ff93e3dde423957d38c250b6b66e68e2354769f55d7b9d8',
  cid: 'QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o',
  txid: 'd150b067f5f740ef8e0c755a6ee1e462f63d4ecf',
})
const all = [0, 1, 2, 3, 4].map(evidence)
const tree = createMerkleTree(all.map((each) => leafHash(evidenceDigest(each))))
const items = all.map(
  (each, index): EvidenceItem => ({
    ...each,
    digest: hex(evidenceDigest(each)),
    anchor: { root: hex(tree.root), size: tree.size, index, proof: hex(tree.proof(index)), txid: 'ab'.repeat(32), block: 7 },
  }),
)

describe('evidence', () => {
  it('is a text of its circumstances, and SHA-256 of it', () => {
    const { requestId, authorisation, cid, txid } = all[1]!
    const text = `sluice des evidence 1|${requestId}|1|1|3|1.2.20|1.2.11|${authorisation}|${cid}|${txid}`
    expect(evidenceText(all[1]!)).toBe(text)
    expect(hex(evidenceDigest(all[1]!))).toBe(hex(engine().sha256(utf8(text))))
  })

  it('is in the tree, and not with anything changed', () => {
    for (const item of items) expect(verifyEvidence(item)).toBe(true)
    const item = items[2]!
    const anchor = item.anchor!
    const changes: Partial<EvidenceItem>[] = [
      { requestId: 'other' },
      { position: 3 },
      { productId: 2 },
      { version: 4 },
      { payer: '1.2.21' },
      { payee: '1.2.12' },
      { authorisation: '00'.repeat(32) },
      { cid: 'QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH' },
      { txid: '00'.repeat(20) },
      { digest: items[1]!.digest },
      { digest: '' },
      { anchor: undefined },
      { anchor: { ...anchor, root: '00'.repeat(32) } },
      { anchor: { ...anchor, size: 3 } },
      { anchor: { ...anchor, size: 9 } },
      { anchor: { ...anchor, index: 1 } },
      { anchor: { ...anchor, proof: '' } },
      { anchor: { ...anchor, proof: `${anchor.proof}00` } },
      { anchor: { ...anchor, proof: 'xx' } },
    ]
    for (const change of changes) expect(verifyEvidence({ ...item, ...change }), JSON.stringify(change)).toBe(false)
    // A digest that goes with the changes is no leaf.
    const forged = { ...item, txid: '00'.repeat(20) }
    expect(verifyEvidence({ ...forged, digest: hex(evidenceDigest(forged)) })).toBe(false)
  })

  it('is read as it was written, anchored or not', () => {
    const written = writeEvidence([items[0]!, { ...items[1]!, anchor: undefined }])
    expect(readEvidence(JSON.parse(JSON.stringify(written)))).toEqual(written.items)
    for (const [field, item] of [
      ['evidence.items[0].cid', { ...items[0], cid: 'Qm' }],
      ['evidence.items[0].digest', { ...items[0], digest: 'xx' }],
      ['evidence.items[0].txid', { ...items[0], txid: undefined }],
      ['evidence.items[0].anchor.proof', { ...items[0], anchor: { ...items[0]!.anchor, proof: 'ab' } }],
    ] as const) {
      expect(() => readEvidence({ items: [item] })).toThrow(expect.objectContaining({ code: 'BAD_MESSAGE', details: { field } }))
    }
  })
})
