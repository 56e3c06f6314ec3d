/**
 * Registers secrets whose locks are about to expire, the most valuable first, in transactions that fit.
 * @module
 */
import { toHex, type Hex } from '../../core/bytes.ts'
import { engine } from '../../core/crypto/engine.ts'
import { isSluiceError } from '../../core/errors.ts'
import type { Clock } from '../../core/clock.ts'
import type { Logger } from '../../core/log.ts'

/** A secret in danger. */
export interface Endangered {
  readonly secret: Uint8Array
  readonly tokenNetwork: Hex
  /** What the locks that it opens hold. */
  readonly amount: bigint
}

/** What a registrar stands on. */
export interface RegistrarParts {
  readonly clock: Clock
  readonly log: Logger
  /** The most gas that a transaction may use on this chain now. */
  gasLimit(): Promise<bigint>
  /** Registers secrets together. */
  send(secrets: readonly Uint8Array[], key: string): Promise<unknown>
}

/** Gas of a transaction that registers nothing, and of each secret, both with some to spare. */
const BASE_GAS = 60_000n
const SECRET_GAS = 4_000n
/** The most that are registered together: who unlocks shows the whole list. */
const MOST_TOGETHER = 512
/** Transactions under way at once. */
const MOST_UNDER_WAY = 8
/** Milliseconds after which a secret that was sent, and has not been seen on chain, is sent again. */
const AGAIN_AFTER = 60_000

/** How many secrets a transaction may take: half of a block, and 5/4 of the estimate is offered. */
export function sizeFor(gasLimit: bigint): number {
  const room = ((gasLimit / 2n) * 4n) / 5n - BASE_GAS
  return Math.min(MOST_TOGETHER, Math.max(1, Number(room / SECRET_GAS)))
}

/** The order in which secrets are registered: by amount, those of several token networks in turn, since amounts don't compare. */
export function byWorth(secrets: readonly Endangered[]): readonly Endangered[] {
  const networks = new Map<Hex, Endangered[]>()
  for (const each of secrets) networks.set(each.tokenNetwork, [...(networks.get(each.tokenNetwork) ?? []), each])
  const ranked = [...networks.values()].map((some) =>
    some.sort((a, b) => (a.amount === b.amount ? 0 : a.amount < b.amount ? 1 : -1)).map((each, rank) => ({ each, rank })),
  )
  return ranked.flat().sort((a, b) => a.rank - b.rank).map(({ each }) => each)
}

/** Creates a registrar. @returns what is told of all secrets in danger, at each look. */
export function createRegistrar({ clock, log, gasLimit, send }: RegistrarParts): (secrets: readonly Endangered[]) => void {
  /** When each was sent, in milliseconds. */
  const sent = new Map<Hex, number>()
  let wanted: readonly Endangered[] = []
  let underWay = 0
  /** Halved by a failure, doubled by a success. */
  let most = MOST_TOGETHER
  let pumping = false

  const pump = async (): Promise<void> => {
    if (pumping) return
    pumping = true
    try {
      const fits = sizeFor(await gasLimit())
      while (underWay < MOST_UNDER_WAY) {
        const batch = wanted.filter(({ secret }) => !sent.has(toHex(secret))).slice(0, Math.min(most, fits))
        if (batch.length === 0) return
        void register(batch.map(({ secret }) => secret))
      }
    } catch (error) {
      log.error('secrets could not be registered, trying again', { reason: error instanceof Error ? error.message : String(error) })
    } finally {
      pumping = false
    }
  }

  const register = async (secrets: readonly Uint8Array[]): Promise<void> => {
    underWay++
    for (const secret of secrets) sent.set(toHex(secret), Infinity)
    try {
      await send(secrets, `secrets/${toHex(engine().sha256(...secrets))}`)
      most = Math.min(MOST_TOGETHER, most * 2)
      for (const secret of secrets) sent.set(toHex(secret), clock.now())
    } catch (error) {
      // Of what has left, the end is waited for a while.
      const hasLeft = isSluiceError(error, 'TRANSACTION_UNKNOWN')
      for (const secret of secrets) {
        if (hasLeft) sent.set(toHex(secret), clock.now())
        else sent.delete(toHex(secret))
      }
      if (!hasLeft) most = Math.min(most, Math.max(1, Math.floor(secrets.length / 2)))
      log.error('secrets could not be registered, trying again', {
        secrets: secrets.length,
        next: most,
        reason: error instanceof Error ? error.message : String(error),
      })
      if (secrets.length === 1) return void underWay-- // not at once
    }
    underWay--
    void pump()
  }

  return (secrets) => {
    wanted = byWorth(secrets)
    const now = clock.now()
    const names = new Set(secrets.map(({ secret }) => toHex(secret)))
    for (const [name, at] of sent) if (!names.has(name) || now - at > AGAIN_AFTER) sent.delete(name)
    void pump()
  }
}
