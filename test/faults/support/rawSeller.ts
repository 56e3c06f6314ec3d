/**
 * A seller that follows a script over a real socket: what no honest program would deliver.
 * @module
 */
import type { AddressInfo } from 'node:net'
import type { HDNodeWallet } from 'ethers'
import { WebSocketServer, type WebSocket } from 'ws'
import { dataTradeDomain } from '../../../src/contracts/typedData.ts'
import { randomBytes, toHex, type Hex } from '../../../src/core/bytes.ts'
import { createMerkleTree, leafHash, type MerkleTree } from '../../../src/core/crypto/merkle.ts'
import { engine } from '../../../src/core/crypto/engine.ts'
import { frameFor } from '../../../src/protocol/frame.ts'
import { signerIdentity, type Identity } from '../../../src/protocol/identity.ts'
import { menuToWire, type Item, type Menu } from '../../../src/protocol/menu.ts'
import { decodeMessage, encodeMessage, MAX_TEXT_TO_BUYER, signedBytes, type MessageOf } from '../../../src/protocol/message.ts'
import { PROTOCOL_VERSION, type MessageType, type Payload } from '../../../src/protocol/wire.ts'
import type { Devnet } from '../../../src/testing/devnet.ts'

/** What a script may do on one connection. */
export interface RawSale {
  readonly socket: WebSocket
  /** Stream and id of the order; for a resumption, the byte it goes on at. */
  readonly stream: number
  readonly id: Hex
  readonly received: number
  /** How many connections there were before this one. */
  readonly connection: number
  /** Highest count acknowledged so far, on any connection. */
  readonly acked: number
  /** A data frame with the true proof, but for what is changed. */
  frame(index: number, changes?: FrameChanges): Promise<Uint8Array>
  /** Sends frames. */
  send(...frames: readonly Uint8Array[]): void
  /** Sends a signed message. */
  say<T extends MessageType>(type: T, payload: Payload<T>): Promise<void>
  /** Waits until the buyer has acknowledged so much; false if the link goes first. */
  paid(bytes: number): Promise<boolean>
}

/** What a frame may have wrong. */
export interface FrameChanges {
  readonly body?: Uint8Array | undefined
  /** The index that stands in the frame. */
  readonly as?: number | undefined
  /** Signs the chunk claim, by the seller unless a signer is named. */
  readonly claim?: boolean | Identity | undefined
}

/** See {@link startRawSeller}. */
export interface RawSeller {
  readonly url: string
  readonly menu: Menu
  readonly item: Item
  /** Orders and resumptions that came. */
  readonly requests: readonly (MessageOf<'order'> | MessageOf<'resume'>)[]
  /** Exits of the buyer. */
  readonly exits: readonly Payload<'exit'>[]
  /** Acknowledgements, as they came. */
  readonly acks: readonly MessageOf<'ACK'>[]
  readonly connections: number
  close(): Promise<void>
}

/** Options of {@link startRawSeller}. */
export interface RawSellerOptions {
  readonly data: Uint8Array
  readonly granularity: number
  /** What stands under the root instead of pieces of the data. */
  readonly chunk?: ((index: number) => Uint8Array) | undefined
  readonly window?: number | undefined
  readonly price?: bigint | undefined
  /** What happens on an order or a resumption. */
  readonly script: (sale: RawSale) => Promise<void> | void
  /** What happens instead of the greeting; true if it was taken over. */
  readonly greet?: ((socket: WebSocket, connection: number) => boolean) | undefined
  /** Changes the menu of a connection. */
  readonly offer?: ((menu: Menu, connection: number) => Menu) | undefined
}

/** Starts a seller that greets as it should and then runs a script. */
export async function startRawSeller(devnet: Devnet, account: HDNodeWallet, options: RawSellerOptions): Promise<RawSeller> {
  const { data, granularity, window = 8, price = 1_000_000n, script } = options
  const domain = dataTradeDomain(devnet.chainId, devnet.deployment.dataTrade)
  const identity = await signerIdentity(account, domain)
  const chunk =
    options.chunk ?? ((index: number): Uint8Array => data.subarray(index * granularity, (index + 1) * granularity))
  const tree: MerkleTree = createMerkleTree(
    Array.from({ length: Math.ceil(data.length / granularity) }, (_, i) => leafHash(chunk(i))),
  )
  const item: Item = {
    id: 'item',
    size: data.length,
    info: '',
    price,
    token: '0x0000000000000000000000000000000000000000',
    granularity,
    root: toHex(tree.root),
    live: false,
    sample: undefined,
    alipayPrice: undefined,
  }
  const menu: Menu = {
    items: [item],
    granularity,
    payments: ['token'],
    modes: ['voucher', 'onchain'],
    window,
    seller: identity.address,
    chainId: devnet.chainId,
    contract: devnet.deployment.dataTrade,
    validUntil: undefined,
  }
  const requests: (MessageOf<'order'> | MessageOf<'resume'>)[] = []
  const exits: Payload<'exit'>[] = []
  const acks: MessageOf<'ACK'>[] = []
  let acked = 0
  let connections = 0
  let ring: (() => void)[] = []

  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false })
  server.on('connection', (socket) => {
    const connection = connections++
    if (options.greet?.(socket, connection)) return
    const nonce = toHex(randomBytes(32))
    const wake = (): void => {
      for (const go of ring.splice(0)) go()
    }
    socket.on('error', () => {})
    socket.on('close', wake)
    const say = async <T extends MessageType>(type: T, payload: Payload<T>): Promise<void> => {
      const signature = await identity.signBytes(signedBytes(type, payload, ''))
      socket.send(encodeMessage({ type, payload, signature, verification: '' }))
    }
    const serve = (message: MessageOf<'order'> | MessageOf<'resume'>): void => {
      requests.push(message)
      const id = ('order_hash' in message.payload ? message.payload.order_hash : message.payload.order_ID) as Hex
      const { stream } = message.payload
      const sale: RawSale = {
        socket,
        stream,
        id,
        received: 'received' in message.payload ? message.payload.received : 0,
        connection,
        get acked() {
          return acked
        },
        frame: async (index, { body = chunk(index), as = index, claim } = {}) => {
          const proof = tree.proof(Math.min(index, tree.size - 1))
          let signature: Uint8Array | undefined
          if (claim) {
            const by = claim === true ? identity : claim
            signature = await by.signTyped('ChunkClaim', {
              orderId: id,
              index: as,
              leaf: toHex(leafHash(body)),
              proofHash: toHex(engine().keccak256(proof)),
            })
          }
          const made = frameFor(stream, as, body.length, proof, signature)
          made.body.set(body)
          return made.frame
        },
        send: (...frames) => {
          for (const frame of frames) socket.send(frame)
        },
        say,
        paid: async (bytes) => {
          while (acked < bytes && socket.readyState === socket.OPEN) await new Promise<void>((go) => ring.push(go))
          return acked >= bytes
        },
      }
      void Promise.resolve(script(sale)).catch(() => {})
    }
    socket.on('message', (raw: Buffer) => {
      const message = decodeMessage(raw.toString(), MAX_TEXT_TO_BUYER)
      if (message.type === 'hello') {
        void say('hello', {
          version: PROTOCOL_VERSION,
          chain_id: devnet.chainId.toString(),
          contract: devnet.deployment.dataTrade.toLowerCase(),
          public_key_of_the_seller: toHex(identity.publicKey),
          nonce,
          reply_to: message.payload.nonce,
        }).then(() => say('menu', menuToWire(options.offer?.(menu, connection) ?? menu)))
      } else if (message.type === 'order' || message.type === 'resume') serve(message)
      else if (message.type === 'ACK') {
        acks.push(message)
        acked = Math.max(acked, message.payload.transferred)
        wake()
      } else if (message.type === 'exit') {
        exits.push(message.payload)
        void say('exit', { order_ID: message.payload.order_ID, session: nonce, rating: null, reason: null })
      }
    })
  })
  await new Promise((resolve) => server.once('listening', resolve))

  return {
    url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    menu,
    item,
    requests,
    exits,
    acks,
    get connections() {
      return connections
    },
    close: () =>
      new Promise((resolve) => {
        ring = []
        for (const socket of server.clients) socket.terminate()
        server.close(() => resolve())
      }),
  }
}
