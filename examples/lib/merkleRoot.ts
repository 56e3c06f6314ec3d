import { createHash } from 'node:crypto'

/**
 * The Merkle root of data in chunks, calculated without the library, to check it by: RFC 9162, 2.1.1, with SHA-256.
 */
export function merkleRoot(data: Uint8Array, granularity: number): string {
  const leaves: Uint8Array[] = []
  for (let at = 0; at < data.length; at += granularity) leaves.push(sha256(Uint8Array.of(0), data.subarray(at, at + granularity)))
  return `0x${Buffer.from(rootOf(leaves)).toString('hex')}`
}

function rootOf(leaves: readonly Uint8Array[]): Uint8Array {
  if (leaves.length === 1) return leaves[0]!
  let half = 1
  while (half * 2 < leaves.length) half *= 2
  return sha256(Uint8Array.of(1), rootOf(leaves.slice(0, half)), rootOf(leaves.slice(half)))
}

function sha256(...parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return hash.digest()
}
