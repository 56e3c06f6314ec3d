/**
 * Where sealed answers are kept under their CIDs: in SQL, or in an IPFS node.
 * @module
 */
export { kuboContentStore, type KuboContentStoreOptions } from './kuboContentStore.ts'
export { sqlContentStore } from './sqlContentStore.ts'
