/**
 * A peer with a real key that says whatever a test wants.
 * @module
 */
import { secp256k1 } from '@noble/curves/secp256k1.js'
import type { HDNodeWallet } from 'ethers'
import { handshake } from '../../../../src/channel/link/handshake.ts'
import { createLink, type OwnedLink } from '../../../../src/channel/link/link.ts'
import { proofChannel } from '../../../../src/channel/node/channel.ts'
import { advance, freshSide, proofOf, ZERO_32, type Side, type UnsignedSide } from '../../../../src/channel/state/side.ts'
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
} from '../../../../src/channel/wire/messages.ts'
import {
  delegationDigest,
  encodeDelegation,
  tokenNetworkDigests,
  tokenNetworkDomain,
  type TokenNetworkDigests,
} from '../../../../src/contracts/channelTypes.ts'
import { fromHex, randomBytes, toHex, type Hex } from '../../../../src/core/bytes.ts'
import { keyFromSecret, type Key } from '../../../../src/core/crypto/key.ts'
import { recoverAddress } from '../../../../src/core/crypto/signature.ts'
import type { CloseReason } from '../../../../src/protocol/transport.ts'
import { contractOf, eventually, type Villager, type Village } from './village.ts'

/** A balance proof in the form in which the contract takes it. */
export type ContractProof = Parameters<ReturnType<typeof contractOf>['close']>[2]

/** See {@link startRawPeer}. */
export interface RawPeer {
  readonly wallet: HDNodeWallet
  readonly account: Hex
  readonly endpoint: string
  readonly key: Key
  readonly digests: TokenNetworkDigests
  /** Everything that it was told. */
  readonly heard: ChannelMessage[]
  /** How its link ended, if it has. */
  readonly ended: CloseReason | undefined
  link: OwnedLink
  /** What it has signed last, by channel. */
  side: Side
  channelId: Hex
  /** Links itself to its victim, by its own key or by another that it lets sign. */
  connect(session?: Key): Promise<void>
  disconnect(): void
  /** Opens a channel with its victim on chain, without asking, and says where it stands. */
  open(deposit: bigint, victimDeposit?: bigint): Promise<Hex>
  sync(changes?: Partial<ChannelMessageOf<'sync'>>): void
  send<T extends ChannelMessageType>(type: T, fields: ChannelMessageOf<T>): void
  /** Signs and sends the next proof. `forge` changes what is signed, `after` what is sent. */
  proof<T extends ProofMessageType>(
    type: T,
    details: ProofDetails<T>,
    options?: {
      readonly forge?: Partial<UnsignedSide>
      readonly key?: Key
      readonly keep?: boolean
      /** Signs as no other time: one proof then has several signatures. */
      readonly again?: boolean
      readonly channel?: Uint8Array
    },
  ): Side
  /** Waits for a message, from the `from`-th that it has heard on. */
  hears<T extends ChannelMessageType>(
    type: T,
    match?: (message: Typed<T>) => boolean,
    from?: number,
  ): Promise<Typed<T>>
  /** A proof that the victim has sent, for the contract. */
  victimProof(message: ProofMessage): ContractProof
}

/** Creates a peer of `victim`. */
export function startRawPeer(village: Village, victim: Villager, name: string): RawPeer {
  const wallet = village.wallet()
  const key = keyFromSecret(fromHex(wallet.privateKey, 32))
  const account = wallet.address.toLowerCase() as Hex
  const digests = tokenNetworkDigests(tokenNetworkDomain(village.devnet.chainId, village.tokenNetwork))
  const transport = village.network.peer(`ws://${name}`)
  let signer = key
  let generation = 0
  let ended: CloseReason | undefined
  const heard: ChannelMessage[] = []
  const none = new Uint8Array(0)

  const peer: RawPeer = {
    wallet,
    account,
    endpoint: `ws://${name}`,
    key,
    digests,
    heard,
    get ended() {
      return ended
    },
    link: undefined as never,
    side: freshSide,
    channelId: NO_HASH,
    async connect(session) {
      ended = undefined
      signer = session ?? key
      const validUntil = Math.floor(Date.now() / 1000) + 86_400
      const message = { participant: account, signer: session?.address ?? '', validUntil }
      const delegation = session
        ? encodeDelegation(validUntil, key.sign(delegationDigest(village.devnet.chainId, village.registry, message)))
        : none
      const secured = await handshake(
        await transport.connect(victim.endpoint, {}),
        {
          identity: { account, key: signer, delegation },
          chainId: Number(village.devnet.chainId),
          instance: toHex(randomBytes(16)),
          capabilities: 1,
          verifyDelegation: async () => true,
        },
        { dialled: true, expected: victim.account },
      )
      await new Promise<void>((resolve, reject) => {
        const link = createLink(secured, {
          ready: () => {
            if (account < victim.account) link.ready(++generation)
            resolve()
          },
          message: (message) => {
            heard.push(message)
            if (message.type === 'gossipRequest')
              link.send('gossipEnd', { tokenNetwork: message.tokenNetwork, next: NO_HASH, more: false })
          },
          ended: (reason) => {
            ended = reason
            reject(new Error(`${reason.code} ${reason.reason}`))
          },
        })
        peer.link = link
        link.start()
        if (account > victim.account) link.ready(0)
      })
    },
    disconnect: () => peer.link.close(),
    async open(deposit, victimDeposit = 0n) {
      const contract = contractOf(village, wallet)
      await (await contract.open(victim.wallet.address, deposit, ZERO_32, '0x', { value: deposit })).wait()
      const { channelId } = await contract.channel(account, victim.account)
      peer.channelId = channelId as Hex
      peer.side = freshSide
      await eventually('the channel', () => victim.node.channels().some(({ id }) => id === channelId))
      await eventually('the deposit', () => victim.node.channel(channelId).partnerTotalDeposit === deposit)
      if (victimDeposit > 0n) {
        await (
          await contractOf(village, victim.wallet).deposit(victim.account, account, victimDeposit, { value: victimDeposit })
        ).wait()
        await eventually('the deposit', () => victim.node.channel(channelId).totalDeposit === victimDeposit)
      }
      peer.sync()
      await eventually('agreement', () => victim.node.channel(channelId).online)
      return peer.channelId
    },
    sync: (changes = {}) =>
      peer.send('sync', {
        channelId: peer.channelId,
        nonce: peer.side.nonce,
        accepted: 0,
        steps: 0,
        preimage: NO_HASH,
        deposit: victim.node.channel(peer.channelId).totalDeposit,
        watch: ZERO_32,
        ...changes,
      }),
    send: (type, fields) => peer.link.send(type, fields),
    proof(type, details, { forge = {}, key: by = signer, keep = true, again = false, channel } = {}) {
      const next: UnsignedSide = { ...advance(peer.side, type, details, referenceOf(type, details)), ...forge }
      const digest = digests.BalanceProof(proofOf(channel ?? proofChannel(peer.channelId, ZERO_32), next))
      const signature64 = again
        ? secp256k1.sign(digest, fromHex(wallet.privateKey, 32), { prehash: false, extraEntropy: true })
        : by.sign(digest).slice(0, 64)
      const side: Side = { ...next, signature: signature64 }
      const {
        nonce,
        transferred,
        locks: { total: locked, root: locksroot },
        signature,
      } = side
      peer.link.sendPacket(
        encodeProofMessage(type, peer.channelId, { nonce, transferred, locked, locksroot, signature: signature! }, details),
      )
      if (keep) peer.side = side
      return side
    },
    hears: (type, match = () => true, from = 0) =>
      eventually(`${type} from ${victim.name}`, () =>
        heard.slice(from).find((message) => message.type === type && match(message as never)),
      ) as Promise<never>,
    victimProof(message) {
      const { nonce, transferred, locked, locksroot, signature } = message
      const reference = referenceOf(message.type, message as never)
      const sync = heard.find((each): each is Typed<'sync'> => each.type === 'sync' && each.channelId === message.channelId)!
      const digest = digests.BalanceProof({
        channel: proofChannel(message.channelId, sync.watch),
        nonce,
        transferred,
        locked,
        locksroot,
        stream: ZERO_32,
        reference,
      })
      const withV = new Uint8Array(65)
      withV.set(signature)
      withV[64] = 27
      if (recoverAddress(digest, withV).toLowerCase() !== victim.account) withV[64] = 28
      return {
        nonce,
        transferred,
        locked,
        locksroot,
        stream: ZERO_32,
        ref: reference,
        watch: sync.watch,
        signature: withV,
        steps: none,
      }
    },
  }
  return peer
}

/** A lock as one that pays the victim itself. */
export function lockFor(
  peer: RawPeer,
  victim: Villager,
  lock: Partial<ProofDetails<'lock'>> & Pick<ProofDetails<'lock'>, 'amount' | 'expiry' | 'secrethash'>,
): ProofDetails<'lock'> {
  return {
    index: 0,
    paymentId: toHex(randomBytes(32)),
    initiator: peer.account,
    target: victim.account,
    total: lock.amount,
    route: [],
    ...lock,
  }
}
