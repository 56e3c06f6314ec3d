import { readFileSync } from 'node:fs'
import { TypedDataEncoder, verifyTypedData } from 'ethers'
import { expect, test } from 'vitest'
import { decodeChannelMessage, encodeChannelMessage } from '../src/channel/wire/messages.ts'
import { delegationTypes, tokenNetworkTypes } from '../src/contracts/channelTypes.ts'
import { fromHex, toHex } from '../src/core/bytes.ts'
import { channelVectors } from './channelVectors.ts'
import { jsonOf } from './vectors.ts'

const vectors = channelVectors()

test('docs/channel-vectors.json is what the code makes', () => {
  expect(readFileSync(new URL('../docs/channel-vectors.json', import.meta.url), 'utf8')).toBe(`${jsonOf(vectors)}\n`)
})

test('ethers agrees with every typed digest and signature', () => {
  for (const [type, message] of Object.entries(vectors.signed) as [
    keyof typeof tokenNetworkTypes,
    typeof vectors.signed.Close
  ][]) {
    const types = { [type]: [...tokenNetworkTypes[type]] }
    expect(TypedDataEncoder.hash(vectors.domain, types, message), type).toBe(message.digest)
    expect(verifyTypedData(vectors.domain, types, message, message.signature).toLowerCase(), type).toBe(
      vectors.keys.alice.address,
    )
  }
  const { domain, digest, ...delegation } = vectors.delegation
  expect(TypedDataEncoder.hash(domain, { Delegation: [...delegationTypes.Delegation] }, delegation)).toBe(digest)
})

test('every message is read as it is written', () => {
  for (const [type, { bytes }] of Object.entries(vectors.messages)) {
    const { type: read, ...fields } = decodeChannelMessage(fromHex(bytes))
    expect(read).toBe(type)
    expect(toHex(encodeChannelMessage(read, fields as never))).toBe(bytes)
  }
})
