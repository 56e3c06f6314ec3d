/**
 * What a tower spends without a reward, by client and day.
 * @module
 */
import type { Hex } from '../../core/bytes.ts'
import type { Store } from '../../core/store/store.ts'
import { decode, encode, u64 } from '../wire/codec.ts'

/** See {@link openSpending}. */
export interface Spending {
  /** How many times the least an answer must gain its client. @param time - Unix seconds. */
  factor(client: Hex, gas: bigint, time: number): bigint
  /** Notes what an answer has used. */
  note(client: Hex, gas: bigint, time: number): Promise<void>
}

/** What an answer must gain, in times of the least, once a client has used up its gas of a day. */
export const BEYOND = 20n

const layout = { day: u64, gas: u64 } as const
const prefix = 'spent/'
const DAY = 86_400

/**
 * Opens what a store has noted. A client's smaller closings can't use up what its larger ones need: beyond `freeGas` a day
 * an answer must gain {@link BEYOND} times as much, and then it is given all the same.
 */
export async function openSpending(store: Store, freeGas: bigint): Promise<Spending> {
  const spent = new Map<Hex, { readonly day: number; readonly gas: number }>()
  for await (const [key, value] of store.list(prefix)) spent.set(key.slice(prefix.length) as Hex, decode(layout, value))
  const today = (client: Hex, day: number): number => {
    const noted = spent.get(client)
    return noted?.day === day ? noted.gas : 0
  }
  return {
    factor: (client, gas, time) => (BigInt(today(client, Math.floor(time / DAY))) + gas > freeGas ? BEYOND : 1n),
    async note(client, gas, time) {
      const day = Math.floor(time / DAY)
      const over = [...spent].filter(([, noted]) => noted.day < day - 1).map(([key]) => key)
      for (const key of over) spent.delete(key)
      const noted = { day, gas: today(client, day) + Number(gas) }
      spent.set(client, noted)
      await store.write([
        ...over.filter((key) => key !== client).map((key) => ({ key: prefix + key, value: null })),
        { key: prefix + client, value: encode(layout, noted) },
      ])
    },
  }
}
