import type { Log } from 'ethers'

/** A log entry of a block, in the form that `Interface.parseLog` of ethers takes. */
export interface ChainLog {
  /** The contract that emitted it. */
  readonly address: string
  readonly topics: readonly string[]
  readonly data: string
  readonly blockNumber: number
  readonly blockHash: string
  readonly transactionHash: string
  /** Position in the block. */
  readonly index: number
}

/** Takes what Sluice needs from a log entry of ethers. */
export function chainLog({ address, topics, data, blockNumber, blockHash, transactionHash, index }: Log): ChainLog {
  return { address, topics, data, blockNumber, blockHash, transactionHash, index }
}
