/**
 * Settlement on a chain.
 * @module
 */
export { openChain, type ChainOptions, type OpenedChain } from './openChain.ts'
