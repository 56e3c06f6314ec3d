import type { Hex } from '../../core/bytes.ts'
import type { Clock } from '../../core/clock.ts'
import { assertArgument } from '../../core/errors.ts'
import type { Logger } from '../../core/log.ts'
import type { TokenNetworkInfo } from '../chain/networks.ts'

/** Options of {@link openLeastLock}. */
export interface LeastLockOptions {
  readonly networks: readonly Pick<TokenNetworkInfo, 'address' | 'token'>[]
  /** What the user has set, for all networks or by address. */
  readonly minLock: bigint | Readonly<Record<string, bigint>> | undefined
  /** Whether gas costs nothing here. */
  readonly isFree: boolean
  gasPrice(): Promise<bigint>
  readonly clock: Clock
  readonly log: Logger
}

/** The smallest locks that are worth claiming. */
export interface LeastLock {
  of(tokenNetwork: Hex): bigint
  /** Asks for the price of gas if that was long ago. */
  refresh(): void
}

/** Gas to claim one lock among many: its share of a registration and of an unlock. */
export const CLAIM_GAS = 10_000n
/** Milliseconds between two looks at the price of gas. */
const LOOK_EVERY = 60_000

/** Finds out which locks are worth claiming. @throws `BAD_ARGUMENT` */
export async function openLeastLock(options: LeastLockOptions): Promise<LeastLock> {
  const { networks, minLock, isFree, gasPrice, clock, log } = options
  const expected = 'a bigint in the smallest unit from 0n and below 2^128, such as 1000n, or such by address of a token network'
  const isAmount = (value: unknown): value is bigint => typeof value === 'bigint' && value >= 0n && value < 1n << 128n
  const set = new Map<Hex, bigint>()
  if (typeof minLock === 'object' && minLock !== null) {
    for (const [address, amount] of Object.entries(minLock)) {
      assertArgument(isAmount(amount) && networks.some((each) => each.address === address.toLowerCase()), 'minLock', expected)
      set.set(address.toLowerCase() as Hex, amount)
    }
  } else if (minLock !== undefined) {
    assertArgument(isAmount(minLock), 'minLock', expected)
    for (const { address } of networks) set.set(address, minLock)
  }
  const isPriced = ({ address, token }: (typeof networks)[number]): boolean =>
    !isFree && BigInt(token) === 0n && !set.has(address)
  const priced = new Set(networks.filter(isPriced).map(({ address }) => address))
  let price = 0n
  let lookedAt = -Infinity

  const look = async (): Promise<void> => {
    lookedAt = clock.now()
    try {
      price = await gasPrice()
    } catch (error) {
      log.warn('the price of gas is not known: the smallest lock stays as it was', { reason: String(error) })
    }
  }
  if (priced.size > 0) await look()

  return {
    of: (tokenNetwork) => set.get(tokenNetwork) ?? (priced.has(tokenNetwork) ? CLAIM_GAS * price : 0n),
    refresh() {
      if (priced.size > 0 && clock.now() - lookedAt >= LOOK_EVERY) void look()
    },
  }
}
