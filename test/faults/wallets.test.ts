import { AbstractSigner, Signature, type TypedDataDomain, type TypedDataField, Wallet } from 'ethers'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createSeller } from '../../src/seller/seller.ts'
import { dataTradeDomain } from '../../src/contracts/typedData.ts'
import { nodeIdentity } from '../../src/channel/node/identity.ts'
import { signerIdentity } from '../../src/protocol/identity.ts'
import { type Devnet, startDevnet } from '../../src/testing/devnet.ts'
import { fromHex, toHex, utf8, type Hex } from '../../src/core/bytes.ts'
import { memoryStore } from '../../src/core/store/memoryStore.ts'
import { personalDigest } from '../../src/core/crypto/signature.ts'
import { storedSecret } from '../../src/core/crypto/sessionSecret.ts'
import { readWalletSignature, signerOf } from '../../src/core/crypto/walletSignature.ts'

const N = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n

/** A device or service that signs as `inner`, and gives its signatures in a form of its own. */
class Device extends AbstractSigner {
  constructor(
    readonly inner: Wallet,
    readonly form: (signature: string) => string,
    readonly typedBy: Wallet = inner,
  ) {
    super(inner.provider)
  }
  getAddress = () => this.inner.getAddress()
  connect = () => this
  signTransaction = () => Promise.reject(new Error('signs messages only'))
  signMessage = async (message: string | Uint8Array) => this.form(await this.inner.signMessage(message))
  signTypedData = async (domain: TypedDataDomain, types: Record<string, TypedDataField[]>, value: Record<string, unknown>) =>
    this.form(await this.typedBy.signTypedData(domain, types, value))
}

const other = Wallet.createRandom()
/** Says that it is an account, and signs with another one's key. */
class Stranger extends Device {
  constructor(readonly account: Wallet) {
    super(new Wallet(other.privateKey, account.provider), (signature) => signature)
  }
  override getAddress = () => Promise.resolve(this.account.address)
}

const forms: Record<string, (signature: string) => string> = {
  'v 0 or 1': (s) => `${s.slice(0, -2)}${s.endsWith('1b') ? '00' : '01'}`,
  'EIP-2098': (s) => Signature.from(s).compactSerialized,
  'a high s': (s) => {
    const high = (N - BigInt(`0x${s.slice(66, 130)}`)).toString(16).padStart(64, '0')
    return `${s.slice(0, 66)}${high}${s.endsWith('1b') ? '1c' : '1b'}`
  },
  'upper case': (s) => `0x${s.slice(2).toUpperCase()}`,
}

let devnet: Devnet
let wallet: Wallet
const registry: Hex = '0x00000000000000000000000000000000000000aa'
beforeAll(async () => {
  devnet = await startDevnet({ accounts: 1 })
  wallet = new Wallet(devnet.accounts[0]!.privateKey, devnet.provider)
})
afterAll(() => devnet.stop())

const domain = () => dataTradeDomain(devnet.chainId, devnet.deployment.dataTrade)
const twist = (s: string): string => `0x${'11'.repeat(31)}${s.slice(64)}`

describe.each(Object.entries(forms))('a wallet that signs with %s', (_, form) => {
  it('is as good as any', async () => {
    const device = new Device(wallet, form)
    const digest = personalDigest(utf8('text'))
    expect(toHex(readWalletSignature(await device.signMessage('text')))).toBe(await wallet.signMessage('text'))
    expect(signerOf(digest, readWalletSignature(await device.signMessage('text')))).toBe(wallet.address)

    const identity = await signerIdentity(device, domain())
    const plain = await signerIdentity(wallet, domain())
    expect(identity.publicKey).toEqual(plain.publicKey)
    const ack = { orderId: `0x${'ab'.repeat(32)}`, transferred: 7 } as const
    expect(await identity.signTyped('Ack', ack)).toEqual(await plain.signTyped('Ack', ack))
    expect(await identity.signBytes(digest)).toEqual(await plain.signBytes(digest))

    const { delegation } = await nodeIdentity(device, memoryStore(), devnet.chainId, registry)
    // Until when in 8 bytes, then the signature.
    expect([delegation.length, delegation[72]! >= 27]).toEqual([73, true])
  })

  it('opens its store again, whatever form the next one has', async () => {
    const store = memoryStore()
    const secret = await storedSecret(store, new Device(wallet, form), wallet.address)
    expect(await storedSecret(store, wallet, wallet.address)).toEqual(secret)
  })
})

describe('a wallet that does not sign as its account', () => {
  it.each([
    ['signs with another key', (w: Wallet) => new Stranger(w)],
    ['signs something else', (w: Wallet) => new Device(w, twist)],
    ['gives what is no signature', (w: Wallet) => new Device(w, () => 'approved')],
    ['gives nothing', (w: Wallet) => new Device(w, () => '0x')],
    ['signs as contracts do, and is none', (w: Wallet) => new Device(w, () => `0x${'ab'.repeat(130)}`)],
  ])('is refused before money moves: it %s', async (_, make) => {
    const device = make(wallet)
    await expect(signerIdentity(device, domain())).rejects.toMatchObject({ code: 'BAD_SIGNATURE' })
    await expect(storedSecret(memoryStore(), device, wallet.address)).rejects.toMatchObject({ code: 'BAD_SIGNATURE' })
    await expect(nodeIdentity(device, memoryStore(), devnet.chainId, registry)).rejects.toMatchObject({ code: 'BAD_SIGNATURE' })
    const { dataTrade } = devnet.deployment
    const item = { id: 'a', data: new Uint8Array(9), price: 1n }
    await expect(createSeller({ signer: device, store: memoryStore(), dataTrade, items: [item] })).rejects.toMatchObject({
      code: 'BAD_SIGNATURE',
    })
  })

  it('is refused also if only its typed data is another key’s', async () => {
    const device = new Device(wallet, (s) => s, new Wallet(other.privateKey))
    await expect(signerIdentity(device, domain())).rejects.toMatchObject({ code: 'BAD_SIGNATURE' })
    const store = memoryStore()
    await expect(nodeIdentity(device, store, devnet.chainId, registry)).rejects.toMatchObject({ code: 'BAD_SIGNATURE' })
    // Nothing of it is kept: the next start asks again.
    const { delegation } = await nodeIdentity(new Device(wallet, (s) => s), store, devnet.chainId, registry)
    expect(delegation.length).toBe(73)
  })
})

describe('a wallet whose signatures differ each time', () => {
  it('seals nothing that could not be opened again', async () => {
    const store = memoryStore()
    let count = 0
    const random = new Device(wallet, (s) => s)
    random.signMessage = async (message) => {
      const digest = personalDigest(typeof message === 'string' ? utf8(message) : message)
      const { nobleSecp256k1 } = await import('../../src/core/crypto/noble.ts')
      const entropy = new Uint8Array(32).fill(++count)
      return toHex(nobleSecp256k1.signWithEntropy!(digest, fromHex(wallet.privateKey, 32), entropy))
    }
    expect(await random.signMessage('x')).not.toBe(await random.signMessage('x'))
    await expect(storedSecret(store, random, wallet.address)).rejects.toMatchObject({
      code: 'BAD_KEY',
      shortMessage: expect.stringContaining('differently each time') as string,
    })
    expect(await store.get('session')).toBeUndefined()
    // What needs no seal works with it.
    expect((await signerIdentity(random, domain())).address).toBe(wallet.address)
  })
})
