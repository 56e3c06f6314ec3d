/**
 * Neighbours who work together against honest nodes: they share all secrets, say what they like on their links, sign what
 * they like, and send any transaction.
 * @module
 */
import type { Wallet } from 'ethers'
import { handshake } from '../../../src/channel/link/handshake.ts'
import { createLink, type OwnedLink } from '../../../src/channel/link/link.ts'
import { proofChannel } from '../../../src/channel/node/channel.ts'
import { failBytes, requestBytes, seal } from '../../../src/channel/node/locks.ts'
import { leafHash, lockTreeOf, type Lock } from '../../../src/channel/state/lockTree.ts'
import { advance, freshSide, proofOf, secrethashOf, ZERO_32, type Side } from '../../../src/channel/state/side.ts'
import { encodeSteps } from '../../../src/channel/stream/streamTerms.ts'
import {
  encodeProofMessage,
  NO_HASH,
  referenceOf,
  type ChannelMessage,
  type ChannelMessageOf,
  type ChannelMessageType,
  type ProofDetails,
  type ProofMessage,
  type ProofMessageType,
  type Typed,
} from '../../../src/channel/wire/messages.ts'
import type { TokenNetworkDigests } from '../../../src/contracts/channelTypes.ts'
import { concatBytes, fromHex, randomBytes, toHex, type Hex } from '../../../src/core/bytes.ts'
import { engine } from '../../../src/core/crypto/engine.ts'
import { keyFromSecret, type Key } from '../../../src/core/crypto/key.ts'
import { personalDigest, recoverAddress } from '../../../src/core/crypto/signature.ts'
import type { Clock } from '../../../src/core/clock.ts'
import type { PeerTransport } from '../../../src/protocol/peer.ts'
import type { OnChainProof } from '../../../src/channel/chain/blockchainService.ts'

/** What all of them know. */
export interface Knowledge {
  /** Secrets by secrethash. */
  readonly secrets: Map<Hex, Uint8Array>
  /** Lists of secrets whose key in the secret registry is used as if it were a secrethash, by that key. */
  readonly lists: Map<Hex, readonly Uint8Array[]>
  /** Makes a secret. */
  secret(): { readonly secret: Uint8Array; readonly secrethash: Hex }
  /** Makes secrets whose list has this key. */
  list(count: number): { readonly secrets: readonly Uint8Array[]; readonly key: Hex }
}

/** Creates {@link Knowledge}. */
export function createKnowledge(): Knowledge {
  const secrets = new Map<Hex, Uint8Array>()
  const lists = new Map<Hex, readonly Uint8Array[]>()
  const knowledge: Knowledge = {
    secrets,
    lists,
    secret() {
      const secret = randomBytes(32)
      const secrethash = secrethashOf(secret)
      secrets.set(secrethash, secret)
      return { secret, secrethash }
    },
    list(count) {
      const made = Array.from({ length: count }, () => knowledge.secret())
      const key = toHex(engine().keccak256(concatBytes(...made.map(({ secrethash }) => fromHex(secrethash, 32)))))
      const members = made.map(({ secret }) => secret)
      lists.set(key, members)
      return { secrets: members, key }
    },
  }
  return knowledge
}

/** What the victim of a neighbour has signed at some time. */
export interface VictimProof {
  readonly proof: OnChainProof
  /** Its locks then. */
  readonly side: Side
}

/** A neighbour's side of one channel with an honest node. */
export interface Neighbour {
  readonly name: string
  readonly account: Hex
  readonly wallet: Wallet
  readonly key: Key
  readonly victim: { readonly account: Hex; readonly endpoint: string }
  readonly channelId: Hex
  /** What it has signed last. */
  side: Side
  /** What it has signed, by locksroot: the last of each. */
  readonly sides: Map<Hex, Side>
  /** What its victim has signed last, and all before, newest last. */
  victimSide: Side
  readonly victimProofs: VictimProof[]
  /** Releases that its victim has signed, for locks of this neighbour. */
  readonly releases: { readonly lock: Hex; readonly signature: Uint8Array }[]
  readonly heard: ChannelMessage[]
  /** Secrethashes that it has registered something for. */
  readonly registered: Set<Hex>
  /** Everything that it has sent, as bytes. */
  readonly sent: Uint8Array[]
  /** While it says nothing of itself: no receipts, no answers. */
  mute: boolean
  readonly linked: boolean
  /** What a chain of its own pays. */
  chainSeed: Uint8Array | undefined
  connect(): Promise<void>
  disconnect(): void
  sync(): void
  send<T extends ChannelMessageType>(type: T, fields: ChannelMessageOf<T>): void
  replay(packet: Uint8Array): void
  /** Signs and sends the next proof. */
  proof<T extends ProofMessageType>(type: T, details: ProofDetails<T>): void
  /** Gives a lock of its victim back. */
  fail(lock: Lock & { readonly paymentId: Hex }): void
  /** Answers a request for a secret that it knows. */
  grant(request: Typed<'secretRequest'>): void
}

/** Options of {@link createNeighbour}. */
export interface NeighbourOptions {
  readonly name: string
  readonly wallet: Wallet
  readonly transport: PeerTransport
  readonly victim: { readonly account: Hex; readonly endpoint: string }
  readonly channelId: Hex
  readonly chainId: number
  readonly digests: TokenNetworkDigests
  readonly clock: Clock
  readonly knowledge: Knowledge
  /** The victim's deposit as the chain has it. */
  victimDeposit(): bigint
}

/** Creates a neighbour; it has an account of its own or shares one with others. */
export function createNeighbour(options: NeighbourOptions): Neighbour {
  const { wallet, transport, victim, channelId, digests, chainId, clock, knowledge } = options
  const key = keyFromSecret(fromHex(wallet.privateKey, 32))
  const account = wallet.address.toLowerCase() as Hex
  let link: OwnedLink | undefined
  let generation = 0
  let victimWatch: Uint8Array | undefined
  const paymentIds = new Map<number, Hex>()

  const neighbour: Neighbour = {
    name: options.name,
    account,
    wallet,
    key,
    victim,
    channelId,
    side: freshSide,
    sides: new Map(),
    victimSide: freshSide,
    victimProofs: [],
    releases: [],
    heard: [],
    registered: new Set(),
    sent: [],
    mute: false,
    chainSeed: undefined,
    get linked() {
      return link?.open === true
    },
    async connect() {
      const secured = await handshake(
        await transport.connect(victim.endpoint, {}),
        {
          identity: { account, key, delegation: new Uint8Array(0) },
          chainId,
          instance: toHex(randomBytes(16)),
          capabilities: 1,
          verifyDelegation: async () => true,
          clock,
        },
        { dialled: true, expected: victim.account },
      )
      const made: OwnedLink = createLink(
        secured,
        {
          ready: () => {
            if (account < victim.account) made.ready(++generation)
            neighbour.sync()
          },
          message: (message) => hear(message),
          ended: () => {
            if (link === made) link = undefined
          },
        },
        clock,
      )
      link = made
      made.start()
      if (account > victim.account) made.ready(0)
    },
    disconnect: () => link?.close(),
    sync: () =>
      neighbour.send('sync', {
        channelId,
        nonce: neighbour.side.nonce,
        accepted: neighbour.victimSide.nonce,
        steps: neighbour.victimSide.stream?.steps ?? 0,
        preimage: neighbour.victimSide.stream?.preimage ?? NO_HASH,
        deposit: options.victimDeposit(),
        watch: ZERO_32,
      }),
    send: (type, fields) => link?.send(type, fields),
    replay: (packet) => link?.sendPacket(packet),
    proof(type, details) {
      const next = advance(neighbour.side, type, details, referenceOf(type, details))
      const digest = digests.BalanceProof(proofOf(proofChannel(channelId, ZERO_32), next))
      const side: Side = { ...next, signature: key.sign(digest).slice(0, 64) }
      const { nonce, transferred, locks, signature } = side
      const { total: locked, root: locksroot } = locks
      const fields = { nonce, transferred, locked, locksroot, signature: signature! }
      const packet = encodeProofMessage(type, channelId, fields, details)
      neighbour.side = side
      neighbour.sides.set(toHex(side.locks.root), side)
      neighbour.sent.push(packet)
      link?.sendPacket(packet)
    },
    fail(lock) {
      const failed = NO_HASH
      neighbour.send('fail', {
        channelId,
        index: lock.index,
        paymentId: lock.paymentId,
        code: 'PAYMENT_FAILED',
        reporter: account,
        failed,
        delegation: new Uint8Array(0),
        signature: key.sign(personalDigest(failBytes(lock.paymentId, 'PAYMENT_FAILED', failed))),
        release: key.sign(digests.Release({ channelId, sender: victim.account, lock: leafHash(lock) })),
      })
    },
    grant(request) {
      const secret = knowledge.secrets.get(request.secrethash)
      if (!secret) return
      const publicKey = engine().secp256k1.recover(personalDigest(requestBytes(request)), request.signature)
      const { paymentId, secrethash } = request
      neighbour.send('secretGrant', { paymentId, secrethash, ...seal(secret, publicKey) })
    },
  }
  return neighbour

  function hear(message: ChannelMessage): void {
    neighbour.heard.push(message)
    switch (message.type) {
      case 'payment':
      case 'lock':
      case 'unlock':
      case 'remove':
      case 'stream':
        if (message.channelId === channelId) accept(message)
        break
      case 'step': {
        const { stream } = neighbour.victimSide
        if (stream && message.steps > stream.steps) {
          const { steps, preimage } = message
          neighbour.victimSide = { ...neighbour.victimSide, stream: { ...stream, steps, preimage: toHex(preimage) } }
          keepProof()
        }
        break
      }
      case 'sync':
        if (message.channelId !== channelId) break
        victimWatch = message.watch
        if (!neighbour.mute && message.accepted < neighbour.side.nonce) showState()
        break
      case 'state':
        if (message.channelId === channelId && message.own && message.nonce > neighbour.victimSide.nonce) takeState(message)
        break
      case 'fail': {
        const lock = neighbour.side.locks.locks.get(message.index)
        if (lock) neighbour.releases.push({ lock: toHex(leafHash(lock)), signature: message.release })
        break
      }
      case 'gossipRequest':
        neighbour.send('gossipEnd', { tokenNetwork: message.tokenNetwork, next: NO_HASH, more: false })
        break
      default:
    }
  }

  function accept(message: ProofMessage): void {
    if (message.nonce !== neighbour.victimSide.nonce + 1) {
      if (message.nonce <= neighbour.victimSide.nonce && !neighbour.mute) receipt()
      return
    }
    const next = advance(neighbour.victimSide, message.type, message as never, referenceOf(message.type, message as never))
    neighbour.victimSide = { ...next, signature: message.signature }
    if (message.type === 'lock') paymentIds.set(message.index, message.paymentId)
    keepProof()
    if (!neighbour.mute) receipt()
  }
  function takeState(message: Typed<'state'>): void {
    const { nonce, transferred, stream, reference, signature } = message
    neighbour.victimSide = { nonce, transferred, locks: lockTreeOf(message.locks), stream, reference, signature }
    keepProof()
    if (!neighbour.mute) receipt()
  }
  /** Shows its victim the proof that it has not taken. */
  function showState(): void {
    const { nonce, transferred, locks, stream, reference, signature } = neighbour.side
    neighbour.send('state', {
      channelId,
      own: true,
      nonce,
      transferred,
      locked: locks.total,
      locksroot: locks.root,
      signature: signature!,
      reference,
      locks: [...locks.locks.values()],
      stream,
    })
  }
  function receipt(): void {
    neighbour.send('processed', { channelId, nonce: neighbour.victimSide.nonce })
  }

  function keepProof(): void {
    const { victimSide } = neighbour
    if (!victimWatch) return
    const proof = proofOf(proofChannel(channelId, victimWatch), victimSide)
    const digest = digests.BalanceProof(proof)
    const signature = new Uint8Array(65)
    signature.set(victimSide.signature!)
    signature[64] = 27
    if (recoverAddress(digest, signature).toLowerCase() !== victim.account) signature[64] = 28
    neighbour.victimProofs.push({
      side: victimSide,
      proof: {
        nonce: proof.nonce,
        transferred: proof.transferred,
        locked: proof.locked,
        locksroot: toHex(proof.locksroot),
        stream: toHex(proof.stream),
        ref: toHex(proof.reference),
        watch: toHex(victimWatch),
        signature,
        steps: victimSide.stream && victimSide.stream.steps > 0 ? encodeSteps(victimSide.stream) : new Uint8Array(0),
      },
    })
  }
}

/** The payment a victim's lock belongs to. */
export function paymentIdOf({ heard }: Neighbour, lock: Lock): Hex | undefined {
  return heard.findLast(
    (message): message is Typed<'lock'> =>
      message.type === 'lock' && message.index === lock.index && message.secrethash === lock.secrethash,
  )?.paymentId
}
