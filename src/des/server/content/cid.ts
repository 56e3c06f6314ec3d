/**
 * What IPFS calls bytes: CIDv0, calculated here.
 * @module
 */
import { base58btc } from 'multiformats/bases/base58'
import { concatBytes } from '../../../core/bytes.ts'
import { engine } from '../../../core/crypto/engine.ts'

/** Bytes of one block's content. */
export const CHUNK = 262_144
/** `Qm` and 44 characters. */
const CID_V0 = /^Qm[1-9A-HJ-NP-Za-km-z]{44}$/

/** Whether a text is a CIDv0. */
export function isCid(text: string): boolean {
  return CID_V0.test(text)
}

/**
 * The CIDv0 of bytes as `ipfs add --cid-version=0` makes it: UnixFS in dag-pb, chunks of 256 KiB in a balanced tree with 174
 * children a node, SHA-256.
 *
 * Source: IPIP-499's profile `unixfs-v0-2015`. What fits in one chunk is done at once.
 */
export function cidOf(bytes: Uint8Array): string | Promise<string> {
  return bytes.length <= CHUNK ? blockCid(bytes) : treeCid(bytes)
}

/** One block: a dag-pb node (field 1, no links) around a UnixFS file (type 2 in field 1, data in 2, size in 3). */
function blockCid(bytes: Uint8Array): string {
  const size = varint(bytes.length)
  const head = bytes.length === 0 ? [0x08, 0x02] : [0x08, 0x02, 0x12, ...size]
  const tail = [0x18, ...size]
  const file = head.length + bytes.length + tail.length
  const hash = engine().sha256(Uint8Array.of(0x0a, ...varint(file), ...head), bytes, Uint8Array.from(tail))
  // A multihash: SHA-256, 32 bytes.
  return base58btc.baseEncode(concatBytes(Uint8Array.of(0x12, 0x20), hash))
}

/** The importer of IPFS, loaded when an answer is that long. Nothing is kept: the blocks are of no use here. */
async function treeCid(bytes: Uint8Array): Promise<string> {
  const { importBytes } = await import('ipfs-unixfs-importer')
  const { cid } = await importBytes(bytes, { put: (cid) => cid }, { profile: 'unixfs-v0-2015' })
  return cid.toString()
}

function varint(value: number): number[] {
  const out: number[] = []
  for (; value > 127; value >>>= 7) out.push((value & 127) | 128)
  out.push(value)
  return out
}
