/** Each method of a channel node, given whatever a caller from JavaScript may hand in. */
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ChannelNode } from '../../src/channel/channelNode.ts'
import { startTown, type Resident, type Town } from '../channel/support/town.ts'
import { junk, strayError } from './junk.ts'

let town: Town
let node: ChannelNode
let partner: Resident
let channelId: string
let stream: Awaited<ReturnType<ChannelNode['stream']>>

beforeAll(async () => {
  town = await startTown()
  const resident = await town.resident('asked')
  partner = await town.resident('partner')
  node = resident.node
  channelId = (await town.channel(resident, partner, 1_000_000n)).id
  stream = await node.stream({ to: partner.wallet.address, unit: 1n })
}, 30_000)
afterAll(() => town.stop())

type Call = (...args: unknown[]) => unknown
/** The methods, and what is right: each argument and each field of it is then replaced by junk. */
const methods: Record<string, () => readonly [Call, readonly unknown[]]> = {
  open: () => [node.open as Call, [{ partner: partner.wallet.address, deposit: 1n, tokenNetwork: town.tokenNetwork }]],
  openMany: () => [node.openMany as Call, [{ channels: [{ partner: partner.wallet.address, deposit: 1n }] }]],
  'relayable.open': () => [node.relayable.open as Call, [{ partner: partner.wallet.address, deposit: 1n }]],
  'relayable.close': () => [node.relayable.close as Call, [`0x${'12'.repeat(32)}`]],
  deposit: () => [node.deposit as Call, [channelId, 1n, {}]],
  withdraw: () => [node.withdraw as Call, [channelId, 1n << 103n, {}]],
  close: () => [node.close as Call, [`0x${'12'.repeat(32)}`, { how: 'alone' }]],
  settle: () => [node.settle as Call, [channelId, {}]],
  pay: () => [
    node.pay as Call,
    [{ to: partner.wallet.address, amount: 1n, id: `0x${'34'.repeat(32)}`, maxFee: 0n, timeout: 1, lockTime: 1, latest: 1 }],
  ],
  stream: () => [node.stream as Call, [{ to: partner.wallet.address, unit: 1n }]],
  'stream.pay': () => [stream.pay as Call, [1]],
  swap: () => [
    node.swap as Call,
    [{
      to: partner.wallet.address,
      give: { tokenNetwork: town.tokenNetwork, amount: 1n },
      take: { tokenNetwork: town.tokenNetwork, amount: 1n },
    }],
  ],
  channel: () => [node.channel as Call, [channelId]],
  payments: () => [async (...args) => { for await (const _ of (node.payments as Call)(...args) as AsyncIterable<unknown>); }, ['in', '0x12']],
  incoming: () => [node.incoming as Call, [{}]],
  connect: () => [node.connect as Call, [partner.wallet.address, {}]],
  backup: () => [node.backup as Call, [undefined]],
  caughtUp: () => [node.caughtUp as Call, [undefined]],
}

/** Right arguments of which one, or one field of one, is junk; or all of them are. */
function spoilt(right: readonly unknown[]): fc.Arbitrary<unknown[]> {
  const places: (readonly [number, ...string[]])[] = []
  const visit = (value: unknown, at: readonly [number, ...string[]]): void => {
    places.push(at)
    if (typeof value === 'object' && value !== null)
      for (const [name, inner] of Object.entries(value)) visit(inner, [...at, name])
  }
  right.forEach((value, i) => visit(value, [i]))
  const replaced = (value: unknown, [name, ...rest]: readonly string[], by: unknown): unknown => {
    if (name === undefined) return by
    if (Array.isArray(value)) return value.map((entry, i) => (String(i) === name ? replaced(entry, rest, by) : entry as unknown))
    return { ...(value as object), [name]: replaced((value as Record<string, unknown>)[name], rest, by) }
  }
  const one = fc.tuple(fc.constantFrom(...places), junk).map(([[index, ...path], by]) =>
    right.map((value, i) => (i === index ? replaced(value, path, by) : value)))
  return fc.oneof(one, fc.array(junk, { maxLength: right.length + 1 }))
}

describe('a method of a channel node', () => {
  it.each(Object.keys(methods))('%s throws nothing but errors of its own, whatever it is given', async (name) => {
    const [call, right] = methods[name]!()
    await fc.assert(
      fc.asyncProperty(spoilt(right), async (args) => {
        expect(await strayError(() => call(...args), 200)).toBeUndefined()
      }),
      { numRuns: 80, seed: 11 },
    )
  }, 60_000)

  it('names what is wrong and shows a right one, and takes nothing that does not fit its width', async () => {
    const to = partner.wallet.address
    const wrong = (name: string, shown: string): unknown => expect.objectContaining({
      code: 'BAD_ARGUMENT', details: expect.objectContaining({ name }) as object, message: expect.stringContaining(shown) as string,
    })
    const side = { tokenNetwork: town.tokenNetwork, amount: 1n }
    const flipped = to.replace(/[a-f]/i, (letter) => (letter === letter.toLowerCase() ? letter.toUpperCase() : letter.toLowerCase()))
    for (const [call, name, shown] of [
      [() => node.open(undefined as never), 'request', 'partner'],
      [() => node.open({ partner: 5 as never }), 'request.partner', 'an address: text of 0x and 40 hex digits'],
      [() => node.open({ partner: node.account }), 'request.partner', 'another account'],
      [() => node.open({ partner: flipped }), 'request.partner', 'checksum'],
      [() => node.open({ partner: to, deposit: 1n << 104n }), 'request.deposit', 'such as 1000n'],
      [() => node.open({ partner: to, deposit: 5 as never }), 'request.deposit', 'the number 5'],
      [() => node.openMany({ channels: [] }), 'request.channels', 'a list of 1 or more'],
      [() => node.deposit('0x12', 5n), 'channelId', '64 hex digits'],
      [() => node.deposit(channelId, 1n << 104n), 'totalDeposit', 'below 2^104'],
      [() => node.withdraw(channelId, 0n), 'totalWithdraw', 'from 1'],
      [() => node.close(channelId, { how: 'now' as never }), 'how', "'together' or 'alone'"],
      [() => node.pay({ to, amount: 1n << 128n }), 'request.amount', 'below 2^128'],
      [() => node.pay({ to, amount: 1n, signal: {} as never }), 'request.signal', 'AbortSignal'],
      [() => node.pay({ to: flipped, amount: 1n }), 'request.to', 'checksum'],
      [() => node.swap({ to, give: side, take: { ...side, amount: 1n << 128n } }), 'request.take', 'below 2^128'],
      [() => node.stream({ to, unit: 1n << 128n }), 'request.unit', 'below 2^128'],
      [() => node.connect('bob'), 'account', 'an address'],
      [() => node.backup({} as never), 'to', 'memoryStore()'],
    ] as const)
      await expect(Promise.resolve().then(call as () => Promise<unknown>)).rejects.toThrow(wrong(name, shown))
  })
})
