import { makeError } from 'ethers'
import { expect, it } from 'vitest'
import { judge, reasonOf, worthAnother } from './verdict.ts'

const answer = (message: string) => makeError('could not coalesce error', 'UNKNOWN_ERROR', { error: { code: -32000, message } })

it.each([
  ['already known', 'accepted'],
  ['AlreadyKnown', 'accepted'],
  ['transaction already imported', 'accepted'],
  ['known transaction: 1234', 'accepted'],
  ['nonce too low: next nonce 5, tx nonce 4', 'refused'],
  ['OldNonce', 'refused'],
  ['replacement transaction underpriced', 'refused'],
  ['transaction underpriced: gas tip cap 0', 'refused'],
  ['FeeTooLow', 'refused'],
  ['max fee per gas less than block base fee', 'refused'],
  ['insufficient funds for gas * price + value', 'refused'],
  ['InsufficientFunds', 'refused'],
  ['intrinsic gas too low', 'refused'],
  ['exceeds block gas limit', 'refused'],
  ['invalid sender', 'refused'],
  ['invalid chain id for signer', 'refused'],
  ['txpool is full', 'unclear'],
  ['internal error', 'unclear'],
])('%s: %s', (message, verdict) => {
  expect(judge(answer(message)).is).toBe(verdict)
})

it('relies on nothing that the node has not said itself', () => {
  expect(judge(new Error('nonce too low')).is).toBe('unclear')
  expect(judge(makeError('x', 'NETWORK_ERROR', { event: 'x' })).is).toBe('unclear')
})

it('tells which refusals are worth another try', () => {
  expect(worthAnother(answer('nonce too low'))).toBe(true)
  expect(worthAnother(answer('max fee per gas less than block base fee'))).toBe(true)
  expect(worthAnother(answer('insufficient funds'))).toBe(false)
  expect(worthAnother(answer('intrinsic gas too low'))).toBe(false)
})

it('repeats the words of the node without its address', () => {
  expect(reasonOf(answer('see https://node.example/v3/secret-key for limits'))).toBe('see (url) for limits')
  expect(reasonOf(makeError('down', 'NETWORK_ERROR', { event: 'x', info: { url: 'https://node.example/secret' } }))).toBe(
    'down',
  )
  expect(reasonOf('x')).toBe('x')
})
