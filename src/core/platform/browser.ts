/**
 * What browsers bring: the defaults of this library on a page.
 * @module
 */
import type { AxiosStatic } from 'axios'
import { keccak256, sha256 as ethersSha256 } from 'ethers'
import { concatBytes, fromHex } from '../bytes.ts'
import type { Engine } from '../crypto/engine.ts'
import { ethersSecp256k1 } from '../crypto/ethers.ts'
import type { Vault } from '../crypto/vault.ts'
import type { AsyncCloseable } from '../dispose.ts'
import { assertArgument, SluiceError } from '../errors.ts'
import type { Store } from '../store/store.ts'

const joined = (parts: Uint8Array[]): Uint8Array => (parts.length === 1 ? parts[0]! : concatBytes(...parts))

function sha256(...parts: Uint8Array[]): Uint8Array {
  return fromHex(ethersSha256(joined(parts)))
}

/** WebCrypto's SHA-256; a page that isn't a secure context has none and takes JavaScript's. */
function digest(...parts: Uint8Array[]): Uint8Array | Promise<Uint8Array> {
  const subtle = (crypto as { subtle?: SubtleCrypto }).subtle
  if (!subtle) return sha256(...parts)
  return subtle.digest('SHA-256', joined(parts) as Uint8Array<ArrayBuffer>).then((hash) => new Uint8Array(hash))
}

/**
 * Ethers for signatures and short hashes, since a dapp has it anyway, and WebCrypto for long ones. A page that checks
 * many signatures can put `nobleSecp256k1` into the slot.
 */
export const defaultEngine: Engine = {
  secp256k1: ethersSecp256k1,
  keccak256: (bytes) => fromHex(keccak256(bytes)),
  sha256,
  digest,
}

// What keeps things is loaded when somebody wants them kept: a page that only buys does without.

/** Opens the default store: an IndexedDB database named `path`. @throws `STORE_LOCKED`, `STORE_FAILED` */
export async function openStore(path: string): Promise<Store & AsyncCloseable> {
  const { openIdbStore } = await import('../store/openIdbStore.ts')
  return openIdbStore(path)
}

/**
 * Opens the default vault: the browser makes its key and keeps it to itself, so `deriveSecret` is not called.
 * @throws `BAD_ARGUMENT` on a page without WebCrypto, `STORE_FAILED` when IndexedDB fails.
 */
export async function openVault(name: string, _deriveSecret: () => Promise<Uint8Array>): Promise<Vault> {
  const { browserVault } = await import('../crypto/browserVault.ts')
  return browserVault(name)
}

/** Loads axios, when the first request is made. */
export async function loadAxios(): Promise<AxiosStatic> {
  return (await import('axios')).default
}

/** Bytes of their own, for memory that is about to be written whole. Browsers zero them in any case. */
export function allocateBytes(size: number): Uint8Array {
  return new Uint8Array(size)
}

/**
 * AES-256-CBC over whole blocks, without padding, by WebCrypto.
 * @throws `BAD_ARGUMENT` for part of a block, and on a page without WebCrypto.
 */
export async function encryptCbc(key: Uint8Array, iv: Uint8Array, plain: Uint8Array): Promise<Uint8Array> {
  assertArgument(plain.length % 16 === 0, 'bytes', 'whole blocks of 16 bytes')
  const sealed = await (await cbc(key)).encrypt(iv, plain)
  // WebCrypto always pads: whole blocks by one more.
  return sealed.subarray(0, plain.length)
}

/** Undoes {@link encryptCbc}; what comes out was not checked by anything. @throws as that does. */
export async function decryptCbc(key: Uint8Array, iv: Uint8Array, sealed: Uint8Array): Promise<Uint8Array> {
  assertArgument(sealed.length % 16 === 0, 'bytes', 'whole blocks of 16 bytes')
  const { encrypt, decrypt } = await cbc(key)
  // WebCrypto insists on padding, so it gets a block of it: what an empty text is sealed as behind the last block.
  const padding = await encrypt(sealed.length > 0 ? sealed.subarray(-16) : iv, new Uint8Array(0))
  return decrypt(iv, concatBytes(sealed, padding))
}

async function cbc(secret: Uint8Array) {
  const subtle = (crypto as { subtle?: SubtleCrypto }).subtle
  if (!subtle) throw new SluiceError('BAD_ARGUMENT', 'AES needs WebCrypto: serve the page over https or localhost')
  const key = await subtle.importKey('raw', secret.slice(), 'AES-CBC', false, ['encrypt', 'decrypt'])
  return {
    encrypt: async (iv: Uint8Array, bytes: Uint8Array) =>
      new Uint8Array(await subtle.encrypt({ name: 'AES-CBC', iv: iv.slice() }, key, bytes.slice())),
    decrypt: async (iv: Uint8Array, bytes: Uint8Array) =>
      new Uint8Array(await subtle.decrypt({ name: 'AES-CBC', iv: iv.slice() }, key, bytes.slice())),
  }
}
