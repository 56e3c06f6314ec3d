/**
 * What the tests of links have in common.
 * @module
 */
import { concatBytes, fromHex, randomBytes, toHex, type Hex } from '../../core/bytes.ts'
import { generateKey, type Key } from '../../core/crypto/key.ts'
import { assertSignedBy, personalDigest } from '../../core/crypto/signature.ts'
import { memoryTransportPair } from '../../protocol/memoryTransport.ts'
import type { CloseReason, Packet, Transport } from '../../protocol/transport.ts'
import { handshake, type HandshakeTerms, type LinkIdentity, type SecuredTransport } from './handshake.ts'

const CHAIN = 31337

/** The account of a key, in lower case. */
export const accountOf = (key: Key): Hex => key.address.toLowerCase() as Hex

/** An identity whose account signs itself. */
export function createIdentity(key = generateKey()): LinkIdentity {
  return { account: accountOf(key), key, delegation: new Uint8Array() }
}

/** An identity whose account lets another key sign. */
export function createDelegated(account = generateKey(), key = generateKey()): LinkIdentity {
  return { account: accountOf(account), key, delegation: account.sign(delegationDigest(accountOf(account), accountOf(key))) }
}

const delegationDigest = (account: Hex, signer: Hex): Uint8Array =>
  personalDigest(concatBytes(fromHex(account), fromHex(signer)))

/** Terms of a node on {@link CHAIN}. */
export function createTerms(changes: Partial<HandshakeTerms> = {}): HandshakeTerms {
  return {
    identity: createIdentity(),
    chainId: CHAIN,
    instance: toHex(randomBytes(16)),
    capabilities: 5,
    verifyDelegation: async (account, signer, delegation) => {
      try {
        assertSignedBy(delegationDigest(account, signer), delegation, account, { field: 'delegation', owner: 'the account' })
        return true
      } catch {
        return false
      }
    },
    ...changes,
  }
}

/** Two nodes that have shaken hands in memory; the first one dialled. */
export async function shakeHands(
  a = createTerms(),
  b = createTerms(),
  pair: readonly [Transport, Transport] = memoryTransportPair(),
): Promise<readonly [SecuredTransport, SecuredTransport]> {
  return Promise.all([handshake(pair[0], a, { dialled: true }), handshake(pair[1], b, { dialled: false })])
}

/** Somebody in the middle of two transports, who sees every packet and hands on what he likes. */
export interface Middle {
  /** What the two sides get. */
  readonly ends: readonly [Transport, Transport]
  /** Towards each side: for packets that nobody sent. */
  readonly towards: readonly [Transport, Transport]
  /** All that was sent, with the number of the sender. */
  readonly seen: { readonly from: 0 | 1; readonly packet: Uint8Array }[]
}

/** Puts somebody between two ends. `meddle` gives what arrives in the place of a packet. */
export function middle(
  meddle: (packet: Uint8Array, from: 0 | 1, index: number) => readonly Packet[] = (packet) => [packet],
): Middle {
  const [a, atA] = memoryTransportPair()
  const [b, atB] = memoryTransportPair()
  const seen: { from: 0 | 1; packet: Uint8Array }[] = []
  const counts = [0, 0]
  const relay = (from: 0 | 1, source: Transport, target: Transport): void =>
    source.receive({
      packet: (packet) => {
        seen.push({ from, packet: packet as Uint8Array })
        for (const out of meddle(Uint8Array.from(packet as Uint8Array), from, counts[from]!++)) target.send(out)
      },
      closed: ({ code, reason }) => target.close(code, reason),
    })
  relay(0, atA, atB)
  relay(1, atB, atA)
  return { ends: [a, b], towards: [atA, atB], seen }
}

/** Notes what comes over a transport. */
export function listenTo(transport: Transport): { readonly packets: Packet[]; readonly closed: Promise<CloseReason> } {
  const packets: Packet[] = []
  const closed = new Promise<CloseReason>((resolve) =>
    transport.receive({ packet: (packet) => void packets.push(packet), closed: resolve }),
  )
  return { packets, closed }
}

/** Waits until what waits for nothing but promises has run. */
export const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 0))
