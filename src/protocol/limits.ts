/**
 * Sizes that both ends keep to.
 * @module
 */

/** The longest text message that a buyer takes: a menu of some thousand items, or a chunk of the largest size in base64. */
export const MAX_TEXT_TO_BUYER = 6 * 1024 * 1024
/** Bytes per second below which a link counts as dead: what is under way may take as long as this needs. */
export const SLOWEST_LINK = 32 * 1024
/** The longest text message that a seller takes. */
export const MAX_TEXT_TO_SELLER = 16 * 1024
