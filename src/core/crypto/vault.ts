/**
 * Seals secrets, such as session keys, before a store keeps them.
 *
 * What it sealed can be opened by the same vault after a restart, and by nothing without its key.
 */
export interface Vault {
  /** Encrypts; twice the same secret gives different bytes. */
  seal(secret: Uint8Array): Promise<Uint8Array>
  /** Decrypts. @throws `BAD_KEY` if the bytes were changed, or sealed by another vault. */
  open(sealed: Uint8Array): Promise<Uint8Array>
}
