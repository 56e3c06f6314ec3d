/**
 * What finds paths: loaded with the first payment that needs one.
 * @module
 */
export { findPaths, whyNoPath } from './paths.ts'
export { splitPayment } from './split.ts'
