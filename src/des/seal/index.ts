/**
 * Data that only its receiver can read, in the two suites that travel.
 * @module
 */
export { openSealed, sealData } from './sealed.ts'
export { isSuite2, type SealContext } from './suite2.ts'
