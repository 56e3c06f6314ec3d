/**
 * What Node brings: the defaults of this library on a server.
 * @module
 */
import nodeCrypto from 'node:crypto'
import type { AxiosStatic } from 'axios'
import { keccak_256 } from '@noble/hashes/sha3.js'
import type { Engine } from '../crypto/engine.ts'
import { secretVault } from '../crypto/secretVault.ts'
import { tinySecp256k1 } from '../crypto/tiny.ts'
import type { Vault } from '../crypto/vault.ts'
import type { AsyncCloseable } from '../dispose.ts'
import { assertArgument } from '../errors.ts'
import { openLevelStore } from '../store/openLevelStore.ts'
import type { Store } from '../store/store.ts'
import { importPackage } from './loadPackage.ts'

/** OpenSSL's SHA-256. `hash` takes half the time of `createHash` on short inputs, but came with Node 20.12. */
function sha256(...parts: Uint8Array[]): Uint8Array {
  let out: Buffer
  if (parts.length === 1 && typeof nodeCrypto.hash === 'function') {
    out = nodeCrypto.hash('sha256', parts[0]!, 'buffer')
  } else {
    const hash = nodeCrypto.createHash('sha256')
    for (const part of parts) hash.update(part)
    out = hash.digest()
  }
  // A plain array: the slices of a Buffer share its memory.
  return new Uint8Array(out.buffer, out.byteOffset, out.length)
}

/** WebAssembly for signatures, OpenSSL for SHA-256 (fast enough not to wait for), JavaScript for keccak. */
export const defaultEngine: Engine = { secp256k1: tinySecp256k1, keccak256: keccak_256, sha256, digest: sha256 }

/** Opens the default store: LevelDB in a directory. @throws `STORE_LOCKED`, `STORE_FAILED` */
export function openStore(path: string): Promise<Store & AsyncCloseable> {
  return openLevelStore(path)
}

/**
 * Opens the default vault: NaCl's secretbox under a key made of `name` and the secret.
 * @param deriveSecret gives at least 32 secret bytes, always the same.
 * @throws `BAD_KEY` for a shorter secret.
 */
export async function openVault(name: string, deriveSecret: () => Promise<Uint8Array>): Promise<Vault> {
  return secretVault(name, await deriveSecret())
}

/** Loads axios, when the first request is made. @throws `BAD_ARGUMENT` if the package is missing. */
export async function loadAxios(): Promise<AxiosStatic> {
  return (await importPackage(() => import('axios'), 'axios')).default
}

/** Bytes of their own that are not zeroed first: for memory that is about to be written whole. */
export function allocateBytes(size: number): Uint8Array {
  return Buffer.allocUnsafeSlow(size)
}

/** AES-256-CBC over whole blocks, without padding, by OpenSSL: done at once. @throws `BAD_ARGUMENT` for part of a block. */
export function encryptCbc(key: Uint8Array, iv: Uint8Array, plain: Uint8Array): Uint8Array | Promise<Uint8Array> {
  return throughCbc(nodeCrypto.createCipheriv('aes-256-cbc', key, iv).setAutoPadding(false), plain)
}

/** Undoes {@link encryptCbc}; what comes out was not checked by anything. @throws `BAD_ARGUMENT` for part of a block. */
export function decryptCbc(key: Uint8Array, iv: Uint8Array, sealed: Uint8Array): Uint8Array | Promise<Uint8Array> {
  return throughCbc(nodeCrypto.createDecipheriv('aes-256-cbc', key, iv).setAutoPadding(false), sealed)
}

function throughCbc(cipher: nodeCrypto.Cipher | nodeCrypto.Decipher, bytes: Uint8Array): Uint8Array {
  assertArgument(bytes.length % 16 === 0, 'bytes', 'whole blocks of 16 bytes')
  const out = cipher.update(bytes)
  cipher.final()
  return new Uint8Array(out.buffer, out.byteOffset, out.length)
}
