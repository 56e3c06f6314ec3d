/**
 * Writes the test vectors of the protocols, `docs/vectors.json`, `docs/channel-vectors.json` and `docs/des-vectors.json`, and
 * the samples inside `docs/protocol.md` and `docs/des.md`.
 *
 *     npm run vectors                write
 *     npm run vectors -- --check     fail when the files disagree with the code
 * @module
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Order } from '../src/contracts/order.ts'
import { dataTradeDigests, dataTradeDomain } from '../src/contracts/typedData.ts'
import { fromHex, toHex, utf8, type Hex } from '../src/core/bytes.ts'
import { engine } from '../src/core/crypto/engine.ts'
import { keyFromSecret, type Key } from '../src/core/crypto/key.ts'
import { createMerkleTree, leafHash } from '../src/core/crypto/merkle.ts'
import { frameFor } from '../src/protocol/frame.ts'
import { ETH, menuHash, menuToWire, type Menu } from '../src/protocol/menu.ts'
import { encodeMessage, messageDigest, signedBytes, type Message, type MessageOf } from '../src/protocol/message.ts'
import { orderToWire, saltFor } from '../src/protocol/order.ts'
import type { MessageType, Payload } from '../src/protocol/wire.ts'
import { channelVectors } from './channelVectors.ts'
import { desVectors } from './desVectors.ts'

const repeat = (byte: string): Hex => `0x${byte.repeat(32)}`

/** Builds every vector from fixed keys and terms. */
export function protocolVectors() {
  const seller = keyFromSecret(fromHex(repeat('11')))
  const session = keyFromSecret(fromHex(repeat('22')))
  const buyer = keyFromSecret(fromHex(repeat('33')))
  const contract = '0x5fbdb2315678afecb367f032d93f642f64180aa3'
  const domain = dataTradeDomain(31337n, contract)
  const digests = dataTradeDigests(domain)

  // Five chunks of 8 bytes, the last one of 3.
  const item = utf8('chunk 0;chunk 1;chunk 2;chunk 3;end')
  const chunks = Array.from({ length: 5 }, (_, i) => item.subarray(8 * i, 8 * i + 8))
  const tree = createMerkleTree(chunks.map(leafHash))
  const hashes = (packed: Uint8Array): Hex[] =>
    Array.from({ length: packed.length / 32 }, (_, i) => toHex(packed.subarray(32 * i, 32 * i + 32)))

  const scope = {
    nonce: `0x${'44'.repeat(16)}`,
    data_ID: 'greetings',
    first_chunk: 0,
    chunk_count: 5,
    payment: 'token',
    mode: 'voucher',
  } as const
  const order: Order = {
    buyer: buyer.address,
    seller: seller.address,
    token: ETH,
    ackSigner: session.address,
    price: 1_000_000n,
    totalData: item.length,
    chunks: 5,
    dataRoot: toHex(tree.root),
    deadline: 1_900_000_000,
    salt: saltFor(scope, { live: false, granularity: 8 }),
  }
  const id = toHex(digests.Order(order))
  const ack = { orderId: id, transferred: 16 }
  const claim = { orderId: id, index: 1, leaf: toHex(tree.leaf(1)), proofHash: toHex(engine().keccak256(tree.proof(1))) }
  const comment = 'fast and correct'
  const rating = { orderId: id, score: 5, commentHash: toHex(engine().keccak256(utf8(comment))) }
  const typed = (signer: Key, digest: Uint8Array) => ({
    digest: toHex(digest),
    signer: signer.address,
    signature: toHex(signer.sign(digest)),
  })

  const menu: Menu = {
    items: [
      {
        id: 'greetings',
        size: item.length,
        info: 'Five chunks',
        price: 1_000_000n,
        token: ETH,
        granularity: 8,
        root: toHex(tree.root),
        live: false,
        sample: { first: 0, count: 1 },
        alipayPrice: undefined,
      },
    ],
    granularity: 8,
    payments: ['token'],
    modes: ['voucher', 'onchain'],
    window: 64,
    seller: seller.address,
    chainId: 31337n,
    contract,
    validUntil: undefined,
  }

  const text = <T extends MessageType>(signer: Key, type: T, payload: Payload<T>, verification = '') => {
    const unsigned = { type, payload, signature: new Uint8Array(65), verification } as MessageOf<T>
    const digest = messageDigest(unsigned as Message)
    return {
      signer: signer.address,
      signedText: new TextDecoder().decode(signedBytes(type, payload, verification)),
      digest: toHex(digest),
      message: encodeMessage({ ...unsigned, signature: signer.sign(digest) }),
    }
  }
  const hello = { version: 1, chain_id: '31337', contract, nonce: repeat('55') }
  const sellerNonce = repeat('66')
  const ackSigned = typed(session, digests.Ack(ack))
  const claimSigned = typed(seller, digests.ChunkClaim(claim))
  const ratingSigned = typed(session, digests.Rating(rating))
  const frame = (index: number, proof: Uint8Array, signature?: string) => {
    const body = chunks[index]!
    const made = frameFor(7, index, body.length, proof, signature === undefined ? undefined : fromHex(signature))
    made.body.set(body)
    return toHex(made.frame)
  }

  return {
    keys: Object.fromEntries(
      Object.entries({
        seller: [repeat('11'), seller],
        session: [repeat('22'), session],
        buyer: [repeat('33'), buyer],
      } as const).map(([name, [secret, key]]) => [name, { secret, publicKey: toHex(key.publicKey), address: key.address }]),
    ),
    domain: { name: domain.name, version: domain.version, chainId: '31337', verifyingContract: contract },
    merkle: {
      chunks: chunks.map((chunk) => toHex(chunk)),
      leaves: chunks.map((_, i) => toHex(tree.leaf(i))),
      root: toHex(tree.root),
      proofs: chunks.map((_, i) => hashes(tree.proof(i))),
      runProofs: chunks.map((_, i) => hashes(tree.runProof(i))),
    },
    scope: { ...scope, live: false, granularity: 8, salt: order.salt },
    order: { terms: orderToWire(order), id },
    ack: { ...ack, ...ackSigned },
    chunkClaim: { ...claim, ...claimSigned },
    rating: { ...rating, comment, ...ratingSigned },
    menuHash: menuHash(menu),
    messages: {
      helloOfBuyer: text(session, 'hello', { ...hello, public_key_of_the_buyer: toHex(session.publicKey) }),
      helloOfSeller: text(seller, 'hello', {
        ...hello,
        nonce: sellerNonce,
        public_key_of_the_seller: toHex(seller.publicKey),
        reply_to: repeat('55'),
      }),
      menu: text(seller, 'menu', menuToWire(menu)),
      order: text(
        session,
        'order',
        {
          order_hash: id,
          ...scope,
          terms: orderToWire(order),
          form: 'binary',
          claims: false,
          stream: 7,
          session: sellerNonce,
        },
        repeat('77'),
      ),
      ACK: encodeMessage({
        type: 'ACK',
        payload: { order_ID: id, transferred: 16 },
        signature: fromHex(ackSigned.signature),
        verification: '',
      }),
      data: encodeMessage({
        type: 'data',
        payload: { order_ID: id, index: 1, proof: hashes(tree.proof(1)), data: Buffer.from(chunks[1]!).toString('base64') },
        signature: fromHex(claimSigned.signature),
        verification: '',
      }),
      resume: text(session, 'resume', { order_ID: id, received: 16, stream: 8, session: sellerNonce }),
      exit: text(session, 'exit', {
        order_ID: id,
        session: sellerNonce,
        rating: { score: 5, comment, signature: ratingSigned.signature },
        reason: null,
      }),
    },
    frames: {
      firstOfRun: frame(0, tree.proof(0)),
      secondOfRun: frame(1, tree.runProof(1)),
      thirdOfRun: frame(2, tree.runProof(2)),
      withClaim: frame(1, tree.proof(1), claimSigned.signature),
    },
  }
}

/** Puts the vectors that a place in the text names, as `<!-- vector a.b -->`, into the code block behind it. */
export function fillSamples(markdown: string, vectors: object): string {
  return markdown.replace(
    /(<!-- vector ([\w.]+) -->\n```\w*\n)(?:(?!```)[\s\S])*(```)/g,
    (_whole, head: string, path: string, tail: string) => {
      const value = path.split('.').reduce<unknown>((at, name) => (at as Record<string, unknown>)[name], vectors)
      if (value === undefined) throw new Error(`there is no vector ${path}`)
      return `${head}${typeof value === 'string' ? value : JSON.stringify(value, null, 2)}\n${tail}`
    },
  )
}

/** JSON with amounts as decimal text. */
export function jsonOf(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) => (typeof part === 'bigint' ? part.toString() : part), 2)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const vectors = protocolVectors()
  const des = await desVectors()
  const files = [
    { url: new URL('../docs/vectors.json', import.meta.url), make: () => `${JSON.stringify(vectors, null, 2)}\n` },
    { url: new URL('../docs/channel-vectors.json', import.meta.url), make: () => `${jsonOf(channelVectors())}\n` },
    { url: new URL('../docs/des-vectors.json', import.meta.url), make: () => `${jsonOf(des)}\n` },
    { url: new URL('../docs/protocol.md', import.meta.url), make: (now: string) => fillSamples(now, vectors) },
    { url: new URL('../docs/des.md', import.meta.url), make: (now: string) => fillSamples(now, des) },
  ]
  for (const { url, make } of files) {
    let now = ''
    try {
      now = readFileSync(url, 'utf8')
    } catch {
      // written below
    }
    const next = make(now)
    if (next === now) continue
    if (process.argv.includes('--check')) {
      console.error(`${fileURLToPath(url)} disagrees with the code: run \`npm run vectors\``)
      process.exitCode = 1
    } else writeFileSync(url, next)
  }
}
