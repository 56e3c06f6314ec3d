import { readFileSync } from 'node:fs'
import { TypedDataEncoder, verifyMessage, verifyTypedData } from 'ethers'
import { expect, test } from 'vitest'
import { dataTradeTypes } from '../src/contracts/typedData.ts'
import { decodeFrame } from '../src/protocol/frame.ts'
import { decodeMessage, MAX_TEXT_TO_BUYER } from '../src/protocol/message.ts'
import { fromHex, toHex } from '../src/core/bytes.ts'
import { createMerkleVerifier } from '../src/core/crypto/merkle.ts'
import { engine } from '../src/core/crypto/engine.ts'
import { orderScopeFields } from '../src/protocol/order.ts'
import { fillSamples, protocolVectors } from './vectors.ts'

const read = (name: string): string => readFileSync(new URL(`../docs/${name}`, import.meta.url), 'utf8')
const vectors = protocolVectors()

test('docs/vectors.json is what the code makes', () => {
  expect(JSON.parse(read('vectors.json'))).toEqual(JSON.parse(JSON.stringify(vectors)))
})

test('the samples of docs/protocol.md are what the code makes', () => {
  const text = read('protocol.md')
  expect(text.match(/<!-- vector /g)).toHaveLength(10)
  expect(fillSamples(text, vectors)).toBe(text)
})

test('ethers agrees with every text signature', () => {
  for (const [name, vector] of Object.entries(vectors.messages)) {
    if (typeof vector === 'string') continue
    const { signature } = JSON.parse(vector.message) as { signature: string }
    expect(verifyMessage(vector.signedText, signature), name).toBe(vector.signer)
  }
})

test('ethers agrees with the salt', () => {
  const { data_ID: item, first_chunk: firstChunk, chunk_count: chunkCount, salt, ...rest } = vectors.scope
  const hash = TypedDataEncoder.hash(
    { name: 'Sluice OrderScope', version: '1' },
    { OrderScope: [...orderScopeFields] },
    { item, firstChunk, chunkCount, ...rest },
  )
  expect(hash).toBe(salt)
  expect(vectors.order.terms.salt).toBe(salt)
})

test('ethers agrees with every typed digest and signature', () => {
  const { terms, id } = vectors.order
  const order = {
    buyer: terms.buyer,
    seller: terms.seller,
    token: terms.token,
    ackSigner: terms.ack_signer,
    price: terms.price,
    totalData: terms.total_data,
    chunks: terms.chunks,
    dataRoot: terms.data_root,
    deadline: terms.deadline,
    salt: terms.salt,
  }
  expect(TypedDataEncoder.hash(vectors.domain, { Order: [...dataTradeTypes.Order] }, order)).toBe(id)
  for (const [type, vector] of [
    ['Ack', vectors.ack],
    ['ChunkClaim', vectors.chunkClaim],
    ['Rating', vectors.rating],
  ] as const) {
    expect(verifyTypedData(vectors.domain, { [type]: [...dataTradeTypes[type]] }, vector, vector.signature), type).toBe(
      vector.signer,
    )
  }
})

test('the frames of a run prove their chunks', () => {
  const verifier = createMerkleVerifier(fromHex(vectors.merkle.root), 5)
  for (const text of [vectors.frames.firstOfRun, vectors.frames.secondOfRun, vectors.frames.thirdOfRun]) {
    const frame = decodeFrame(fromHex(text))
    expect(toHex(frame.body)).toBe(vectors.merkle.chunks[frame.index])
    expect(verifier.verify(frame.index, engine().sha256(frame.leaf), frame.proof)).toBe(true)
  }
})

test('every message is read as it is written', () => {
  for (const vector of Object.values(vectors.messages)) {
    const text = typeof vector === 'string' ? vector : vector.message
    expect(decodeMessage(text, MAX_TEXT_TO_BUYER).type).toBe((JSON.parse(text) as { message_type: string }).message_type)
  }
})
