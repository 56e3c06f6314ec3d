import { createDecipheriv, createHash, hkdfSync } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { computeAddress, recoverAddress } from 'ethers'
import nacl from 'tweetnacl'
import * as v from 'valibot'
import { expect, test } from 'vitest'
import { fromHex, toHex } from '../src/core/bytes.ts'
import { decryptFrom, keyFromWif, readPublicKey, transferDigest } from '../src/core/crypto/graphene/index.ts'
import { readEvidence, verifyEvidence } from '../src/des/evidence.ts'
import { openSealed } from '../src/des/seal/index.ts'
import { bindBody, createBody, updateBody } from '../src/des/server/market/schemas.ts'
import {
  FORWARD_SIGNATURE,
  isForward,
  readCreated,
  readForward,
  readHeartbeat,
  readPayload,
  readProduct,
  readRequest,
  readResult,
  readSourceData,
  readTransferParams,
  requestIdOf,
  verifyForward,
  verifyHeartbeat,
} from '../src/des/wire/index.ts'
import { desVectors } from './desVectors.ts'
import { fillSamples, jsonOf } from './vectors.ts'

const read = (name: string): string => readFileSync(new URL(`../docs/${name}`, import.meta.url), 'utf8')
const vectors = await desVectors()
const { keys, messages } = vectors
const bytes = (hex: string): Uint8Array => fromHex(`0x${hex}`)
const sha256 = (...parts: (string | Uint8Array)[]): string => {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return hash.digest('hex')
}
/** Who signed a digest, as ethers finds out. */
const signerOf = (digest: string, signature: string): string =>
  recoverAddress(`0x${digest}`, `0x${signature.slice(2)}${(parseInt(signature.slice(0, 2), 16) - 4).toString(16)}`)
const addressOf = (publicKey: string): string => computeAddress(toHex(readPublicKey(publicKey)))

test('docs/des-vectors.json is what the code makes', () => {
  expect(read('des-vectors.json')).toBe(`${jsonOf(vectors)}\n`)
})

test('the samples of docs/des.md are what the code makes', () => {
  const text = read('des.md')
  expect(text.match(/<!-- vector /g)?.length).toBeGreaterThan(15)
  expect(fillSamples(text, vectors)).toBe(text)
})

test('every secret comes from a word that the file names', () => {
  for (const { seed, secret, wif, publicKey } of Object.values(keys)) {
    expect(sha256(seed)).toBe(secret)
    expect(keyFromWif(wif).publicKey).toBe(publicKey)
    expect(addressOf(publicKey)).toBe(computeAddress(`0x${secret}`))
  }
})

test('other libraries agree with every digest and signature', () => {
  const { authorisation, request, memo } = vectors
  expect(createHash('md5').update(memo.question).digest('hex')).toBe(memo.memo)
  expect(sha256(bytes(authorisation.unsigned))).toBe(authorisation.digest)
  expect(signerOf(authorisation.digest, authorisation.signature)).toBe(addressOf(keys.merchant.publicKey))
  expect(authorisation.recovered).toBe(keys.merchant.publicKey)
  expect(authorisation.signed).toBe(`${authorisation.unsigned.slice(0, -2)}01${authorisation.signature}`)
  expect(sha256(bytes(request.digests.join('')))).toBe(request.requestId)
  for (const { text, digest, publicKey, signature } of [...Object.values(vectors.heartbeat), vectors.binding, vectors.forward]) {
    expect(sha256(text)).toBe(digest)
    expect(signerOf(digest, signature)).toBe(addressOf(publicKey))
  }
})

test('other libraries open what is sealed', async () => {
  const { suite1, suite2 } = vectors
  expect(suite1.shared).toBe(suite2.shared)
  const cipher = createDecipheriv('aes-256-cbc', bytes(suite1.key), bytes(suite1.iv))
  const opened = Buffer.concat([cipher.update(suite1.sealed, 'hex'), cipher.final()])
  expect(opened.subarray(4).toString()).toBe(suite1.plain)
  expect(opened.subarray(0, 4).toString('hex')).toBe(sha256(suite1.plain).slice(0, 8))

  const key = new Uint8Array(hkdfSync('sha256', bytes(suite2.shared), 'sluice des seal 2', suite2.info, 32))
  expect(toHex(key).slice(2)).toBe(suite2.key)
  const box = bytes(suite2.sealed.slice('v2:'.length))
  expect(toHex(box.subarray(0, 24)).slice(2)).toBe(suite2.nonce)
  expect(Buffer.from(nacl.secretbox.open(box.subarray(24), box.subarray(0, 24), key)!).toString()).toBe(suite2.plain)
})

test('the code opens what is sealed', async () => {
  const { suite1, suite2 } = vectors
  const source = keyFromWif(keys.source.wif)
  const merchant = keyFromWif(keys.merchant.wif)
  const nonce = BigInt(suite1.nonce)
  for (const { from, sealed, plain } of [suite1, suite2]) {
    expect(Buffer.from(await openSealed(source, from, { nonce, context: suite2.context }, sealed)).toString()).toBe(plain)
  }
  const answer = readSourceData(200, messages.answer)!
  expect(Buffer.from(await decryptFrom(merchant, source.publicKey, answer.nonce!, bytes(answer.data))).toString()).toBe(
    '{"result":true}',
  )
})

test('a Merkle proof by hand leads to the root', () => {
  const { leaf, digest, digests, proof, root } = vectors.evidence
  const node = (left: string, right: string): string => sha256(Uint8Array.of(1), bytes(left), bytes(right))
  expect(leaf).toBe(sha256(Uint8Array.of(0), bytes(digest)))
  expect(digest).toBe(sha256(vectors.evidence.text))
  const [first, last] = [digests[0]!, digests[2]!].map((each) => sha256(Uint8Array.of(0), bytes(each))) as [string, string]
  expect(proof).toBe(first + last)
  expect(node(node(first, leaf), last)).toBe(root)
})

test('every message is read', () => {
  for (const signed of Object.values(vectors.heartbeat)) {
    const alone = vectors.heartbeat.account === signed || vectors.heartbeat.products === signed
    const { queryUrl, suites, ...rest } = messages.heartbeat as Record<string, unknown>
    const address = alone ? {} : { queryUrl, ...(signed === vectors.heartbeat.suites && { suites }) }
    const heartbeat = readHeartbeat({ ...rest, ...address, signature: signed.signature })
    expect(vectors.heartbeat[verifyHeartbeat(heartbeat, keys.source.publicKey)]).toBe(signed)
  }
  expect(readHeartbeat(messages.heartbeat).suites).toEqual([2])

  const [documents, sdk] = [readRequest(messages.createRequest), readRequest(messages.createRequestOfSdk)]
  expect(documents.items).toEqual(sdk.items)
  expect(documents.dialect).not.toEqual(sdk.dialect)
  const { requestParams } = documents.items[0]!
  expect(readTransferParams(vectors.authorisation.requestParams)).toEqual(requestParams)
  expect(toHex(transferDigest(requestParams)).slice(2)).toBe(vectors.authorisation.digest)
  expect(requestIdOf(vectors.request.digests)).toBe(readCreated(messages.created))

  const forward = readForward(messages.question)
  if (!isForward(forward)) throw new Error('the question must come with its terms')
  expect(() => verifyForward(forward, vectors.forward.signature, keys.exchange.publicKey, forward.timestamp)).not.toThrow()
  expect(FORWARD_SIGNATURE).toBe('x-des-signature')
  expect(readPayload(Buffer.from(vectors.memo.question), requestParams.memo).params).toHaveProperty('name', '张三')

  expect(readProduct(messages.product).product.version).toBe(3)
  expect(readResult(messages.result).datasources).toHaveLength(2)
  expect(readEvidence(messages.evidence).map(verifyEvidence)).toEqual([true])
  for (const [schema, body] of [
    [bindBody, messages.bind],
    [createBody, messages.createProduct],
    [updateBody, messages.updateProduct],
  ] as const) {
    expect(v.safeParse(schema, body).issues).toBeUndefined()
  }
})
