import { fromHex } from '../bytes.ts'
import { engine } from '../crypto/engine.ts'

/** Which logs are looked for, as `eth_getLogs` takes it. */
export interface LogMatch {
  readonly address?: readonly string[] | undefined
  readonly topics?: readonly (string | readonly string[] | null)[] | undefined
}

/**
 * Whether the bloom of a block's header leaves room for a log: if not, there is none; if so, there may be none either.
 * Source: Ethereum Yellow Paper, section 4.3.1.
 * @param bloom 256 bytes in hex.
 */
export function mayHoldLogs(bloom: string, { address = [], topics = [] }: LogMatch): boolean {
  if (!/^0x[0-9a-f]{512}$/i.test(bloom)) return false
  const bits = fromHex(bloom)
  const holdsOne = (choice: readonly string[]): boolean =>
    choice.length === 0 || choice.some((each) => holds(bits, fromHex(each)))
  const parts = [address, ...topics].map((part) => (typeof part === 'string' ? [part] : part ?? []))
  return bits.some((byte) => byte !== 0) && parts.every(holdsOne)
}

function holds(bits: Uint8Array, value: Uint8Array): boolean {
  const hash = engine().keccak256(value)
  return [0, 2, 4].every((at) => {
    const bit = ((hash[at]! << 8) | hash[at + 1]!) & 2047
    return (bits[255 - (bit >> 3)]! & (1 << (bit & 7))) !== 0
  })
}
