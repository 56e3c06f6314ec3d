import { afterAll, beforeAll, expect, it } from 'vitest'
import { toHex } from '../core/bytes.ts'
import { createMerkleTree, leafHash, merkleRoot } from '../core/crypto/merkle.ts'
import { textDigest } from '../core/crypto/graphene/index.ts'
import { startDevnet, type Devnet } from '../testing/devnet.ts'
import { evidenceContract } from './evidence.ts'

let devnet: Devnet
beforeAll(async () => {
  devnet = await startDevnet()
})
afterAll(() => devnet.stop())

it.each([1, 2, 7, 64, 1000])('proves each of %d digests with the trees of this library', async (size) => {
  const [anchorer] = devnet.accounts
  const { evidence } = await devnet.deployExchange()
  const contract = evidenceContract(evidence, anchorer)
  const digests = Array.from({ length: size }, (_, i) => textDigest(`record ${i}`))
  const tree = createMerkleTree(digests.map(leafHash))
  await (await contract.anchor(tree.root, size)).wait()
  const at = BigInt(await devnet.time())
  const hashes = (proof: Uint8Array) => Array.from({ length: proof.length / 32 }, (_, i) => proof.slice(32 * i, 32 * i + 32))
  const verify = (index: number, digest: Uint8Array, root = tree.root) =>
    contract.verify(anchorer!.address, root, size, index, digest, hashes(tree.proof(index)))
  for (const index of new Set([0, 1, size >> 1, size - 2, size - 1].filter((each) => each >= 0 && each < size))) {
    expect(await verify(index, digests[index]!)).toBe(at)
    expect(await verify(index, textDigest('another'))).toBe(0n)
    expect(await verify(index, digests[index]!, merkleRoot([leafHash(digests[0]!), leafHash(digests[0]!)]))).toBe(0n)
  }
  expect(await contract.anchoredAt(await contract.idOf(anchorer!.address, toHex(tree.root), size))).toBe(at)
})
