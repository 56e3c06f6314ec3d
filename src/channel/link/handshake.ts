/**
 * How two nodes find out who the other is, over a transport that says nothing about it.
 *
 * Both send `hello` at once, then `auth`: a signature over both hellos, that of the side that dialled first. What nobody
 * but they can calculate, out of their ephemeral keys, tags all that follows.
 * @module
 */
import { concatBytes, fromHex, randomBytes, toHex, utf8, type Hex } from '../../core/bytes.ts'
import { systemClock, type Clock } from '../../core/clock.ts'
import { engine } from '../../core/crypto/engine.ts'
import { addressOf, generateSecret, type Key } from '../../core/crypto/key.ts'
import { personalDigest } from '../../core/crypto/signature.ts'
import { withDeadline } from '../../core/deadline.ts'
import { isSluiceError, SluiceError } from '../../core/errors.ts'
import type { CloseReason, Packet, Receiver, Transport } from '../../protocol/transport.ts'
import { address, badField, bytes, decode, encode, raw, u16, u32, u64, type ValuesOf } from '../wire/codec.ts'
import { CHANNEL_PROTOCOL_VERSION } from '../wire/messages.ts'

/** Milliseconds that a handshake may take. */
export const HANDSHAKE_TIMEOUT = 10_000

/** The first packet. */
export const helloLayout = {
  version: u16,
  chainId: u64,
  account: address,
  /** Random, one for each run of a node: it tells two processes with one account apart. */
  instance: raw(16),
  /** A compressed public key for this link alone. */
  ephemeral: raw(33),
  nonce: raw(32),
  capabilities: u32,
} as const

/** The second packet. */
export const authLayout = {
  /** EIP-191, by the account's own key or its session key, over {@link authBytes}. */
  signature: raw(65),
  /** Empty if it is the account's own key, else the account's signature of the delegation. */
  delegation: bytes(1024),
} as const

/** Who a node is. */
export interface LinkIdentity {
  /** In lower case. */
  readonly account: Hex
  /** The account's own key or its session key. */
  readonly key: Key
  /** What shows that the session key may sign; empty if it is the account's own. */
  readonly delegation: Uint8Array
}

/** Whether `account` lets `signer` sign for it. Asks the chain where the account is a contract. */
export type VerifyDelegation = (account: Hex, signer: Hex, delegation: Uint8Array) => Promise<boolean>

/** What a node says of itself on every link, and how it checks what others say. */
export interface HandshakeTerms {
  readonly identity: LinkIdentity
  readonly chainId: number
  /** 16 bytes, random for each run. */
  readonly instance: Hex
  /** A bit for each. */
  readonly capabilities: number
  readonly verifyDelegation: VerifyDelegation
  /** @default systemClock */
  readonly clock?: Clock | undefined
}

/** What is particular to one handshake. */
export interface HandshakeOptions {
  /** Whether this side opened the transport. */
  readonly dialled: boolean
  /** Who has to be there. @default anybody else */
  readonly expected?: Hex | undefined
  readonly signal?: AbortSignal | undefined
}

/** A transport of which it is known who is at the other end. */
export interface SecuredTransport {
  readonly transport: Transport
  readonly account: Hex
  /** The address whose key signed. */
  readonly signer: Hex
  /** 65 bytes, of the signer. */
  readonly publicKey: Uint8Array
  readonly delegation: Uint8Array
  readonly capabilities: number
  readonly instance: Hex
  /** 32 bytes: of what this side sends. */
  readonly sendKey: Uint8Array
  /** 32 bytes: of what the other side sends. */
  readonly receiveKey: Uint8Array
  /** Begins delivery of what follows the handshake. */
  receive(receiver: Receiver): void
}

/** What `auth` signs: the SHA-256 of a tag, both hellos, that of the dialling side first, and the signer's account. */
export function authBytes(dialler: Uint8Array, acceptor: Uint8Array, account: Uint8Array): Uint8Array {
  return engine().sha256(concatBytes(utf8('Sluice channel link: auth'), dialler, acceptor, account))
}

/** The key of what `account` sends: the SHA-256 of a tag, the shared point, both hellos and the account. */
function directionKey(point: Uint8Array, dialler: Uint8Array, acceptor: Uint8Array, account: Uint8Array): Uint8Array {
  return engine().sha256(concatBytes(utf8('Sluice channel link: key'), point, dialler, acceptor, account))
}

/** Where the account lies in a hello. */
const ACCOUNT = [10, 30] as const

/**
 * Authenticates both ends of a fresh transport. When it fails the transport is left open: close it as
 * `closeOf` says.
 * @throws `BAD_MESSAGE`, `VERSION_MISMATCH`, `WRONG_CHAIN`, `BAD_SIGNATURE`, `UNEXPECTED_MESSAGE`, each naming the
 * field; `TIMEOUT` after {@link HANDSHAKE_TIMEOUT}, `CONNECTION_LOST`, `ABORTED`, or what `verifyDelegation` throws.
 */
export async function handshake(
  transport: Transport,
  terms: HandshakeTerms,
  options: HandshakeOptions,
): Promise<SecuredTransport> {
  const { identity, chainId, capabilities, clock = systemClock } = terms
  const { dialled, expected, signal } = options
  const inbox = openInbox(transport)
  const secret = generateSecret()
  const mine = encode(helloLayout, {
    version: CHANNEL_PROTOCOL_VERSION,
    chainId,
    account: identity.account,
    instance: fromHex(terms.instance, 16, 'instance'),
    ephemeral: engine().secp256k1.publicKey(secret, true),
    nonce: randomBytes(32),
    capabilities,
  })
  const what = `the handshake with ${transport.peer}`

  const run = async (): Promise<SecuredTransport> => {
    transport.send(mine)
    const theirs = await inbox.next('hello')
    const hello = readHello(theirs, chainId, identity.account, expected)
    const point = sharedPoint(secret, hello.ephemeral)
    const [dialler, acceptor] = dialled ? [mine, theirs] : [theirs, mine]
    const [me, them] = [mine.subarray(...ACCOUNT), theirs.subarray(...ACCOUNT)]
    const signature = identity.key.sign(personalDigest(authBytes(dialler, acceptor, me)))
    transport.send(encode(authLayout, { signature, delegation: identity.delegation }))

    const auth = decode(authLayout, await inbox.next('auth'))
    const publicKey = recover(personalDigest(authBytes(dialler, acceptor, them)), auth.signature, hello.account)
    const signer = addressOf(publicKey).toLowerCase() as Hex
    await checkSigner(hello.account, signer, auth.delegation, terms.verifyDelegation)
    return {
      transport,
      account: hello.account,
      signer,
      publicKey,
      delegation: auth.delegation,
      capabilities: hello.capabilities,
      instance: toHex(hello.instance),
      sendKey: directionKey(point, dialler, acceptor, me),
      receiveKey: directionKey(point, dialler, acceptor, them),
      receive: inbox.receive,
    }
  }
  return withDeadline({ what, ms: HANDSHAKE_TIMEOUT, signal, clock }, run)
}

/** Reads a hello from somebody with whom a link is possible. */
function readHello(packet: Uint8Array, chainId: number, own: Hex, expected: Hex | undefined): ValuesOf<typeof helloLayout> {
  // The rest of another version may look different.
  const version = packet.length >= 2 ? packet[0]! * 256 + packet[1]! : undefined
  if (version !== undefined && version !== CHANNEL_PROTOCOL_VERSION) {
    throw new SluiceError('VERSION_MISMATCH', `hello.version is ${version}, and this node speaks ${CHANNEL_PROTOCOL_VERSION}`, {
      details: { field: 'hello.version', version },
    })
  }
  const hello = decode(helloLayout, packet)
  if (hello.chainId !== chainId) {
    throw new SluiceError('WRONG_CHAIN', `hello.chainId is ${hello.chainId}, and this node is on ${chainId}`, {
      details: { field: 'hello.chainId', chainId: hello.chainId },
    })
  }
  if (hello.account === own) throw badField('hello.account', `is ${own}, this node's own`)
  if (expected !== undefined && hello.account !== expected) throw badField('hello.account', `is ${hello.account} instead of ${expected}`)
  return hello
}

function sharedPoint(secret: Uint8Array, ephemeral: Uint8Array): Uint8Array {
  try {
    return engine().secp256k1.sharedPoint(secret, ephemeral)
  } catch {
    throw badField('hello.ephemeral', 'is no public key')
  }
}

function recover(digest: Uint8Array, signature: Uint8Array, account: Hex): Uint8Array {
  try {
    return engine().secp256k1.recover(digest, signature)
  } catch (cause) {
    if (!isSluiceError(cause, 'BAD_SIGNATURE')) throw cause
    throw new SluiceError('BAD_SIGNATURE', `auth.signature is not a signature of ${account}: ${cause.shortMessage}`, {
      cause,
      details: { field: 'auth.signature', expected: account, signer: null },
    })
  }
}

/** Asserts that the signer is the account itself, or that the account lets it sign. */
async function checkSigner(account: Hex, signer: Hex, delegation: Uint8Array, verify: VerifyDelegation): Promise<void> {
  if (signer === account) {
    if (delegation.length > 0) throw badField('auth.delegation', 'must be empty where the account signs itself')
    return
  }
  if (delegation.length === 0) {
    throw new SluiceError('BAD_SIGNATURE', `auth.signature must be signed by ${account}, but ${signer} signed it`, {
      details: { field: 'auth.signature', expected: account, signer },
    })
  }
  if (!(await verify(account, signer, delegation))) {
    throw new SluiceError('BAD_SIGNATURE', `auth.delegation does not let ${signer} sign for ${account}`, {
      details: { field: 'auth.delegation', expected: account, signer },
    })
  }
}

/** What comes over a transport, packet by packet. */
interface Inbox {
  /** The next packet. For one caller at a time. */
  next(what: string): Promise<Uint8Array>
  /** Hands on what has come since, and what comes. */
  receive(receiver: Receiver): void
}

/**
 * Packets that may wait: the other side's `auth`, and its first packet after that while its delegation is checked. It
 * has nothing to say beyond that before it is answered.
 */
const MOST_WAITING = 2

function openInbox(transport: Transport): Inbox {
  const waiting: Packet[] = []
  let receiver: Receiver | undefined
  let failure: SluiceError | undefined
  let ended: CloseReason | undefined
  let wake = (): void => {}
  const fail = (error: SluiceError): void => {
    failure ??= error
    wake()
  }
  transport.receive({
    packet: (packet) => {
      if (receiver) return receiver.packet(packet)
      if (waiting.length >= MOST_WAITING) {
        const error = new SluiceError('UNEXPECTED_MESSAGE', 'more packets came than a handshake has')
        fail(error)
        throw error
      }
      waiting.push(packet)
      wake()
    },
    closed: (reason) => {
      if (receiver) return receiver.closed(reason)
      ended = reason
      fail(
        new SluiceError('CONNECTION_LOST', `${transport.peer} ended the handshake: ${reason.code} ${reason.reason}`, {
          details: { peer: transport.peer, closeCode: reason.code, reason: reason.reason },
        }),
      )
    },
  })
  return {
    next: async (what) => {
      if (waiting.length === 0 && !failure) await new Promise<void>((resolve) => (wake = resolve))
      const packet = waiting.shift()
      if (packet === undefined) throw failure!
      if (typeof packet === 'string') throw badField(what, 'must be binary, not text')
      // Of its own, and plain: slices of Node's buffers share their memory.
      return Uint8Array.from(packet)
    },
    receive: (to) => {
      receiver = to
      for (const packet of waiting.splice(0)) to.packet(packet)
      if (ended) to.closed(ended)
    },
  }
}
