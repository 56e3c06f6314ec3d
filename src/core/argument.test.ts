import { Wallet } from 'ethers'
import { describe, expect, it } from 'vitest'
import {
  abortSignal, address, amount, assertArguments, byteString, callback, clock, either, flag, hexText, integer, listOf, logger,
  milliseconds, oneOf, optional, provider, shape, signer, store, text, type Rule,
} from './argument.ts'
import { systemClock } from './clock.ts'
import { silentLogger } from './log.ts'
import { memoryStore } from './store/memoryStore.ts'

const wallet = Wallet.createRandom()
const cases: [name: string, rule: Rule, good: unknown[], bad: unknown[]][] = [
  ['optional', optional(flag), [undefined, true], [null, 0]],
  ['either', either(flag, text(1)), [false, 'a'], ['', 1]],
  ['listOf', listOf(flag, 1, 2), [[true], [true, false]], [[], [1], [true, true, true], 'ab', { length: 1 }]],
  ['integer', integer(1, 9), [1, 9], [0, 10, 1.5, NaN, Infinity, '1', 1n]],
  ['amount', amount(8), [0n, 255n], [-1n, 256n, 1, '1']],
  ['amount from 1', amount(8, 1n), [1n], [0n]],
  ['text', text(1, 2), ['a', 'ab'], ['', 'abc', 1, null, ['a']]],
  ['oneOf', oneOf('a', 'b'), ['a'], ['c', '', undefined, ['a']]],
  ['byteString', byteString(1), [Uint8Array.of(1)], [new Uint8Array(2), [1], 'a', new ArrayBuffer(1)]],
  ['hexText', hexText(1), ['0xAb'], ['0xa', 'ab', '0xabc', '0xzz', 1]],
  ['hexText of any length', hexText(), ['0x', '0x00ff'], ['0x0', '00']],
  ['shape', shape('a point', { x: integer(0) }), [{ x: 0 }, { x: 1, y: 'z' }], [{}, { x: -1 }, null, 1]],
  ['callback', callback, [() => {}], [{}, 'f']],
  ['address', address, [wallet.address, wallet.address.toLowerCase()], ['0x12', 'USDC', wallet.address.slice(2), 1]],
  ['milliseconds', milliseconds, [0, 1.5, Infinity], [-1, NaN, '1']],
  ['signer', signer, [wallet], [{}, null, 'key', { getAddress: 1 }]],
  ['provider', provider, [{ getNetwork() {}, call() {}, getBlock() {} }], [wallet, 'http://127.0.0.1']],
  ['store', store, [memoryStore()], [new Map(), './store']],
  ['clock', clock, [systemClock], [Date]],
  ['logger', logger, [silentLogger, console], [{}, () => {}]],
  ['abortSignal', abortSignal, [new AbortController().signal], [new AbortController(), {}]],
]

describe.each(cases)('%s', (_name, rule, good, bad) => {
  it.each(good.map((value) => [value]))('takes %o', (value) => {
    expect(() => assertArguments({ x: value }, { x: rule })).not.toThrow()
  })
  it.each(bad.map((value) => [value]))('refuses %o', (value) => {
    expect(() => assertArguments({ x: value }, { x: rule }))
      .toThrow(expect.objectContaining({ code: 'BAD_ARGUMENT', details: { name: 'x' }, message: expect.stringContaining(`x must be ${rule.expected}`) as string }))
  })
})

it('says what it got, without what is in it', () => {
  const said = (value: unknown): string => {
    try {
      assertArguments({ key: value }, { key: byteString(32) }, 'options')
    } catch (error) {
      return (error as Error).message.split('; ')[1]!
    }
    return ''
  }
  expect([undefined, null, 5, -5n, '0xsecret', [1], true, () => {}, Symbol('s'), {}].map(said)).toEqual([
    'it is missing', 'it is null', 'it is the number 5', 'it is a bigint of 3 bits, below zero', 'it is text of 8 characters',
    'it is a list of 1', 'it is true', 'it is a function', 'it is a symbol', 'it is an object',
  ])
})

it('names the options object where it is no object, and the field in it where one fails', () => {
  expect(() => assertArguments(undefined, { a: flag, b: flag }, 'options')).toThrow('options must be an object with a, b; it is missing')
  expect(() => assertArguments({ a: true, b: 1 }, { a: flag, b: flag }, 'options')).toThrow('options.b must be true or false')
})

it('refuses getters and proxies that throw', () => {
  const hostile = { get x(): never { throw new TypeError('inner') } }
  expect(() => assertArguments(hostile, { x: flag })).toThrow('x must be true or false')
  const proxy = new Proxy({}, { get() { throw new RangeError('inner') } })
  expect(() => assertArguments({ x: proxy }, { x: signer })).toThrow('x must be an ethers signer')
})
