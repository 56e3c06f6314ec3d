/**
 * Builds the test vectors of the data exchange: `docs/des-vectors.json`, written by `npm run vectors`.
 *
 * All keys are SHA-256 of a word that everybody knows. Nothing here is random, so the file is the same each time.
 * @module
 */
import { createHash, hkdfSync } from 'node:crypto'
import nacl from 'tweetnacl'
import { concatBytes, fromHex, toHex, utf8 } from '../src/core/bytes.ts'
import {
  encodeTransferParams,
  encryptFor,
  grapheneKey,
  recoverPayer,
  seedSecret,
  signTransferParams,
  textDigest,
  toWif,
  transferDigest,
  type GrapheneKey,
  type SignedTransferParams,
  type TransferParams,
} from '../src/core/crypto/graphene/index.ts'
import { createMerkleTree, leafHash } from '../src/core/crypto/merkle.ts'
import { evidenceDigest, evidenceText, writeEvidence, type Evidence } from '../src/des/evidence.ts'
import { requestCid } from '../src/des/server/billing/requestName.ts'
import { cidOf } from '../src/des/server/content/cid.ts'
import { holdKey } from '../src/des/server/exchange/items.ts'
import { bindingText } from '../src/des/server/market/accounts.ts'
import { heartbeatText, type Heartbeat, type HeartbeatForm } from '../src/des/wire/heartbeat.ts'
import {
  documentDialect,
  FORWARD_SIGNATURE,
  forwardText,
  memoOf,
  requestIdOf,
  sdkDialect,
  writeCreated,
  writeForward,
  writeHeartbeat,
  writeJson,
  writeProduct,
  writeRequest,
  writeResult,
  writeTransferParams,
} from '../src/des/wire/index.ts'

const hex = (bytes: Uint8Array): string => toHex(bytes).slice(2)
/** A value as it travels. */
const onWire = (value: unknown): unknown => JSON.parse(writeJson(value))

const accounts = { merchant: '1.2.20', source: '1.2.11', secondSource: '1.2.12', exchange: '1.2.17' } as const
const seeds = { merchant: 'merchant', source: 'source', secondSource: 'second source', exchange: 'des' } as const
const productId = 1
const version = 3
/** 2017-12-09T07:28:39.000Z. */
const now = 1_512_804_519_000

/** Builds every vector from fixed keys, texts and times. */
export async function desVectors() {
  const keyOf = (name: keyof typeof seeds): GrapheneKey => grapheneKey(seedSecret(seeds[name]))
  const [merchant, source, exchange] = [keyOf('merchant'), keyOf('source'), keyOf('exchange')]

  /** A text that a key signs: nothing is put in front of it. */
  const signedText = (key: GrapheneKey, text: string) => {
    const digest = textDigest(text)
    return { text, digest: hex(digest), publicKey: key.publicKey, signature: hex(key.sign(digest)) }
  }

  // The question, and what the merchant signs for each source.
  const question = JSON.stringify({
    params: { name: '张三', idcard: '330102128901016666' },
    timestamp: now,
    salt: '000102030405060708090a0b0c0d0e0f',
  })
  const payload = utf8(question)
  const authorise = (to: TransferParams['to']): SignedTransferParams =>
    signTransferParams(
      {
        from: accounts.merchant,
        to,
        proxyAccount: accounts.exchange,
        percent: 1000,
        amount: { amount: 50_000n, assetId: '1.3.1' },
        memo: memoOf(payload),
        expiration: now / 1000 + 1800,
      },
      merchant,
    )
  const authorisations = [authorise(accounts.source), authorise(accounts.secondSource)]
  const signed = authorisations[0]!
  const digests = authorisations.map((each) => hex(transferDigest(each)))
  const requestId = requestIdOf(digests)

  // Sealed in both suites: the question for the source, the answer for the merchant.
  const nonce = 150_123_121_123_123n
  const answer = utf8(JSON.stringify({ result: true }))
  const answerNonce = 7_261_354_980_113_442n
  const sealedQuestion = hex(await encryptFor(merchant, source.publicKey, nonce, payload))
  const sealedAnswer = hex(await encryptFor(source, merchant.publicKey, answerNonce, answer))

  const heartbeat: Heartbeat = {
    account: accounts.source,
    products: [1, 2],
    timestamp: now,
    queryUrl: 'https://source.example/data/request',
    suites: [2],
  }
  const forms: readonly HeartbeatForm[] = ['account', 'products', 'queryUrl', 'suites']

  const forward = {
    params: sealedQuestion,
    nonce,
    publicKey: merchant.publicKey,
    productId,
    merchantAccountId: accounts.merchant,
    requestId,
    requestParams: signed,
    timestamp: now,
  }
  const written = writeForward(forward, exchange)

  const evidence: Evidence = {
    requestId,
    position: 0,
    productId,
    version,
    payer: accounts.merchant,
    payee: accounts.source,
    authorisation: digests[0]!,
    cid: await cidOf(utf8(sealedAnswer)),
    txid: digests[0]!,
  }
  const leaves = [hex(textDigest('one answer')), hex(evidenceDigest(evidence)), hex(textDigest('another answer'))]
  const tree = createMerkleTree(leaves.map((digest) => leafHash(fromHex(`0x${digest}`))))
  const anchor = { root: hex(tree.root), size: 3, index: 1, proof: hex(tree.proof(1)) }

  const sources = [accounts.source, accounts.secondSource]
  const items = authorisations.map((requestParams) => ({ params: sealedQuestion, nonce, requestParams }))
  const binding = {
    accountId: accounts.source,
    merchantId: 14,
    serviceUrl: 'https://source.example/data/request',
    timestamp: now,
  }
  const bindingSigned = signedText(source, bindingText(binding))
  const { signature: _, ...sharedText } = signedText(exchange, forwardText(forward))

  return {
    keys: Object.fromEntries(
      Object.entries(seeds).map(([name, seed]) => {
        const secret = seedSecret(seed)
        const { publicKey } = grapheneKey(secret)
        return [name, { account: accounts[name as keyof typeof seeds], seed, secret: hex(secret), wif: toWif(secret), publicKey }]
      }),
    ) as Record<keyof typeof seeds, { account: string; seed: string; secret: string; wif: string; publicKey: string }>,
    memo: { question, memo: memoOf(payload) },
    authorisation: {
      requestParams: onWire(writeTransferParams(signed, documentDialect)),
      unsigned: hex(encodeTransferParams(signed)),
      digest: digests[0]!,
      signature: hex(signed.signatures[0]!),
      signed: hex(encodeTransferParams(signed, signed.signatures)),
      recovered: recoverPayer(signed),
    },
    request: { digests, requestId, cid: requestCid(requestId), holds: digests.map(holdKey) },
    heartbeat: Object.fromEntries(forms.map((form) => [form, signedText(source, heartbeatText(heartbeat, form))])) as Record<
      HeartbeatForm,
      ReturnType<typeof signedText>
    >,
    binding: bindingSigned,
    suite1: suite1Vector(merchant, source.publicKey, nonce, question, sealedQuestion),
    suite2: suite2Vector(merchant, source.publicKey, digests[0]!, question),
    forward: { ...sharedText, signature: written.headers[FORWARD_SIGNATURE]! },
    content: {
      text: sealedAnswer,
      cid: evidence.cid,
      zeros300000: await cidOf(new Uint8Array(300_000)),
    },
    evidence: {
      evidence,
      text: evidenceText(evidence),
      digest: leaves[1]!,
      digests: leaves,
      leaf: hex(tree.leaf(1)),
      ...anchor,
    },
    messages: {
      bind: { ...binding, signature: bindingSigned.signature },
      createProduct: {
        productName: 'KYC认证',
        briefDesc: '通过姓名、身份证号验证是否一致',
        voteThreshold: 0.7,
        categoryId: 1,
        price: { amount: 50_000, assetId: '1.3.1' },
        privacy: false,
        shareStatus: 0,
        input: {
          name: { type: 'string', desc: '姓名', required: true, sample: '张三' },
          idcard: { type: 'string', desc: '身份证号', required: true, sample: '330102128901016666' },
        },
        output: { result: { type: 'boolean', desc: '是否匹配', sample: true } },
      },
      updateProduct: { price: { amount: 40_000, assetId: '1.3.1' } },
      heartbeat: onWire(writeHeartbeat(heartbeat, source)),
      product: onWire(
        writeProduct({
          product: {
            productId,
            version,
            productName: 'KYC认证',
            briefDesc: '通过姓名、身份证号验证是否一致',
            categoryId: 1,
            price: { amount: 50_000n, assetId: '1.3.1' },
            datasources: sources,
            issuer: 14,
            privacy: false,
            input: {
              name: { type: 'string', desc: '姓名', required: true, sample: '张三' },
              idcard: { type: 'string', desc: '身份证号', required: true, sample: '330102128901016666' },
            },
            output: { result: { type: 'boolean', desc: '是否匹配', sample: true } },
          },
          des: { accountId: accounts.exchange, percent: 1000 },
          onlineDatasources: [{ accountId: accounts.source, publicKey: source.publicKey, suites: [2] }],
        }),
      ),
      createRequest: onWire(writeRequest(items.slice(0, 1), documentDialect)),
      createRequestOfSdk: onWire(writeRequest(items.slice(0, 1), sdkDialect)),
      created: writeCreated(requestId),
      question: onWire(written.body),
      answer: onWire({ data: sealedAnswer, nonce: answerNonce }),
      result: onWire(
        writeResult({
          status: 'FINISHED',
          total: 2,
          productId,
          datasources: [
            {
              status: 'SUCCESS',
              datasource: accounts.source,
              data: sealedAnswer,
              nonce: answerNonce,
              datasourcePublicKey: source.publicKey,
              txid: digests[0]!,
            },
            { status: 'NONE', datasource: accounts.secondSource, comment: 'the data source has nothing on this' },
          ],
        }),
      ),
      evidence: onWire(writeEvidence([{ ...evidence, digest: leaves[1]!, anchor }])),
    },
  }
}

/** How sealed data of suite 1 comes about, step by step. */
function suite1Vector(key: GrapheneKey, publicKey: GrapheneKey['publicKey'], nonce: bigint, plain: string, sealed: string) {
  const shared = key.agree(publicKey)
  const sha512 = (...parts: (string | Uint8Array)[]) => {
    const hash = createHash('sha512')
    for (const part of parts) hash.update(part)
    return hash.digest()
  }
  const hash = sha512(nonce.toString(), sha512(shared).toString('hex'))
  return {
    from: key.publicKey,
    to: publicKey,
    nonce: nonce.toString(),
    shared: hex(shared),
    key: hex(hash.subarray(0, 32)),
    iv: hex(hash.subarray(32, 48)),
    plain,
    sealed,
  }
}

/** The same of suite 2, with a nonce that is not random. */
function suite2Vector(key: GrapheneKey, publicKey: GrapheneKey['publicKey'], authorisation: string, plain: string) {
  const shared = key.agree(publicKey)
  const info = [authorisation, productId, accounts.merchant, accounts.source, key.publicKey, publicKey].join('|')
  const derived = new Uint8Array(hkdfSync('sha256', shared, 'sluice des seal 2', info, 32))
  const nonce = Uint8Array.from({ length: 24 }, (_, at) => at)
  return {
    from: key.publicKey,
    to: publicKey,
    context: { requestId: authorisation, productId, from: accounts.merchant, to: accounts.source },
    shared: hex(shared),
    info,
    key: hex(derived),
    nonce: hex(nonce),
    plain,
    sealed: `v2:${hex(concatBytes(nonce, nacl.secretbox(utf8(plain), nonce, derived)))}`,
  }
}
