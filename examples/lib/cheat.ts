/**
 * A seller that sends something else than it sold.
 *
 * The library won't do that: asked to sign a chunk, it looks whether that is the chunk it promised. So this cheat stands
 * in front of an honest seller, holds its key, and turns over one bit of every chunk on the way out.
 * @module
 */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { hexlify, keccak256, type Signer } from 'ethers'
import type { Hex } from 'sluice-sdk'
import type { DataTradeDomain } from 'sluice-sdk/contracts'
import { decodeFrame, decodeMessage, MAX_TEXT_TO_SELLER, signerIdentity } from 'sluice-sdk/protocol'
import { WebSocket, WebSocketServer } from 'ws'

/** What {@link startCheat} needs. */
export interface CheatOptions {
  /** URL of the honest seller behind. */
  readonly target: string
  /** The account of that seller: it signs the false chunks. */
  readonly signer: Signer
  readonly domain: DataTradeDomain
}

/** A cheat that can be reached. */
export interface Cheat {
  readonly url: string
  close(): void
}

/** Starts a cheat in front of an honest seller. */
export async function startCheat({ target, signer, domain }: CheatOptions): Promise<Cheat> {
  const identity = await signerIdentity(signer, domain)
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0 })

  /** Changes a chunk, and signs that it is the right one. */
  const falsify = async (packet: Buffer, orderId: Hex): Promise<Buffer> => {
    const { index, body, leaf, proof, claim } = decodeFrame(packet) // views into the packet
    body[0]! ^= 1
    const hash = hexlify(createHash('sha256').update(leaf).digest()) as Hex
    claim?.set(await identity.signTyped('ChunkClaim', { orderId, index, leaf: hash, proofHash: keccak256(proof) as Hex }))
    return packet
  }

  server.on('connection', (buyer) => {
    const seller = new WebSocket(target)
    const ready = once(seller, 'open')
    let orderId: Hex
    let sent: Promise<void> = Promise.resolve()
    buyer.on('message', (data: Buffer, isBinary) => {
      const message = decodeMessage(data.toString(), MAX_TEXT_TO_SELLER)
      if (message.type === 'order') orderId = message.payload.order_hash as Hex
      void ready.then(() => seller.send(data, { binary: isBinary }))
    })
    seller.on('message', (data: Buffer, isBinary) => {
      sent = sent.then(async () => buyer.send(isBinary ? await falsify(data, orderId) : data, { binary: isBinary }))
    })
    buyer.on('close', () => seller.close())
    seller.on('close', () => buyer.close())
  })
  await once(server, 'listening')

  return {
    url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    close: () => {
      for (const buyer of server.clients) buyer.terminate()
      server.close()
    },
  }
}
