/**
 * What evidence is asked for by: a request's name, as exchanges write it or as bills do, or the CID of an answer.
 * @module
 */
import { CID } from 'multiformats/cid'
import { toHex } from '../../../core/bytes.ts'

/** SHA-256 (https://multiformats.io/multihash), and the codec of bytes without a node around them. */
const [SHA256, RAW] = [0x12, 0x55]

/** A CID of SHA-256, which names a request if that is its digest, or an answer. */
export interface NamedByCid {
  /** The digest in hex: a request's name. */
  readonly digest: string
  /** The block as the seed writes it, `Qm…`: what a transfer's memo and evidence hold. */
  readonly cid: string
  /**
   * Whether the codec is that of bare bytes (`bafk…`). An answer is kept in a dag-pb node, so the CID that other tools give
   * its bare bytes is of another digest.
   */
  readonly isRaw: boolean
}

/**
 * Reads a CID: version 0, `Qm…`, or 1, `bafy…` and `bafk…`. Blocks are told apart by their digests alone, as in IPFS.
 * @returns undefined for what is none, and for other digests than SHA-256.
 */
export function readCid(text: string): NamedByCid | undefined {
  try {
    const { multihash, code } = CID.parse(text)
    if (multihash.code !== SHA256 || multihash.digest.length !== 32) return undefined
    const cid = CID.createV0(multihash as Parameters<typeof CID.createV0>[0]).toString()
    return { digest: toHex(multihash.digest).slice(2), cid, isRaw: code === RAW }
  } catch {
    return undefined
  }
}
