/**
 * Keys, names, signatures and encryption of GXChain accounts.
 * @module
 */
export { decryptFrom, encryptFor, freshNonce, MAX_NONCE } from './cipher.ts'
export { grapheneKey, keyFromWif, seedSecret, toWif, type GrapheneKey } from './key.ts'
export { CORE_ASSET, instanceOf, isAccountId, readAssetId, type AccountId, type AssetId } from './objectId.ts'
export { publicKeyText, readPublicKey, type PublicKeyText } from './publicKey.ts'
export { isSignedBy, textDigest } from './signature.ts'
export {
  encodeTransferParams,
  HUNDRED_PERCENT,
  MAX_MEMO_BYTES,
  MAX_SIGNATURES,
  recoverPayer,
  signTransferParams,
  transferDigest,
  type SignedTransferParams,
  type TransferParams,
} from './transferParams.ts'
