import { AbiCoder, concat, Interface, makeError } from 'ethers'
import { describe, expect, it } from 'vitest'
import { dataTradeInterface } from '../../contracts/dataTrade.ts'
import { SluiceError } from '../errors.ts'
import { errorCodeOf, revertCode, revertData, revertError, throwRevert } from './revert.ts'

const coder = AbiCoder.defaultAbiCoder()
const other = new Interface(['error Complex((uint256 a, address b)[] list, bool)', 'error PairMismatch(uint256 x)'])

describe('revertError', () => {
  it('gives a custom error its code and its arguments', () => {
    const data = dataTradeInterface.encodeErrorResult('TotalDataOutOfRange', [5n, 4n])
    const error = revertError(data, [other, dataTradeInterface])
    expect(error.code).toBe('TOTAL_DATA_OUT_OF_RANGE')
    expect(error.details).toMatchObject({ error: 'TotalDataOutOfRange' })
    expect(Object.values(error.details)).toEqual(['TotalDataOutOfRange', 5n, 4n])
    expect(error.shortMessage).toContain('5')
  })

  it('keeps arguments that are not plain as text', () => {
    const data = other.encodeErrorResult('Complex', [[[1n, '0x00000000000000000000000000000000000a11ce']], true])
    const { details } = revertError(data, [other])
    expect(details).toEqual({ error: 'Complex', list: '[[1, 0x00000000000000000000000000000000000A11cE]]', 1: true })
  })

  it.each([
    ['nothing', '0x', 'contract reverted without a reason'],
    ['no data', null, 'contract reverted without a reason'],
    ['a text', concat(['0x08c379a0', coder.encode(['string'], ['too late'])]), 'contract reverted: too late'],
    [
      'a panic',
      concat(['0x4e487b71', coder.encode(['uint256'], [0x11])]),
      'contract reverted with a panic: arithmetic overflow',
    ],
    [
      'a panic that is new',
      concat(['0x4e487b71', coder.encode(['uint256'], [0x99])]),
      'contract reverted with a panic: code 153',
    ],
    ['an error that is not known', '0xdeadbeef', 'contract reverted with an error that is not known, 0xdeadbeef'],
    ['a text cut short', '0x08c379a000', 'contract reverted with an error that is not known, 0x08c379a0'],
    ['a known error cut short', other.encodeErrorResult('PairMismatch', [1]).slice(0, 20), /not known/],
  ])('says what %s means', (_, data, message) => {
    const error = revertError(data, [other])
    expect(error.code).toBe('CONTRACT_REVERTED')
    expect(error.shortMessage).toMatch(message)
  })

  it('knows the errors of tokens, even if their interface is given', () => {
    const token = new Interface(['error ERC20InsufficientBalance(address sender, uint256 balance, uint256 needed)'])
    const data = token.encodeErrorResult('ERC20InsufficientBalance', ['0x00000000000000000000000000000000000a11ce', 1n, 2n])
    const error = revertError(data, [token])
    expect(error.code).toBe('CONTRACT_REVERTED')
    expect(error.details).toMatchObject({ error: 'ERC20InsufficientBalance', balance: 1n, needed: 2n })
  })
})

it.each([
  ['OrderIdTaken', 'ORDER_ID_TAKEN'],
  ['NotTheBuyer', 'NOT_THE_BUYER'],
  ['ERC20Failed', 'ERC20_FAILED'],
  ['BadECDSASignature', 'BAD_ECDSA_SIGNATURE'],
])('errorCodeOf %s', (name, code) => {
  expect(errorCodeOf(name)).toBe(code)
})

describe('revertData', () => {
  const exception = (data: string | null, inner?: object) =>
    makeError('x', 'CALL_EXCEPTION', {
      action: 'estimateGas',
      data,
      reason: null,
      transaction: { to: null, data: '0x' },
      invocation: null,
      revert: null,
      ...(inner && { info: { error: inner } }),
    })

  it('tells reverts from other failures of a call', () => {
    expect(revertData(exception('0x1234'))).toBe('0x1234')
    expect(revertData(exception(null))).toBeNull()
    expect(revertData(exception(null, { code: 3, message: '' }))).toBeNull()
    expect(revertData(exception(null, { code: -32000, message: 'out of gas' }))).toBeNull()
    expect(revertData(exception(null, { code: -32005, message: 'limit exceeded' }))).toBeUndefined()
    expect(revertData(makeError('x', 'NETWORK_ERROR', { event: 'x' }))).toBeUndefined()
    expect(revertData('x')).toBeUndefined()
  })

  it('throwRevert throws one or the other', () => {
    const network = makeError('x', 'NETWORK_ERROR', { event: 'x' })
    expect(() => throwRevert(network, [])).toThrow(network)
    expect(() => throwRevert(exception(null), [])).toThrow(expect.objectContaining({ code: 'CONTRACT_REVERTED' }))
  })
})

it('revertCode finds the custom error, before sending or on chain', () => {
  expect(revertCode(revertError(dataTradeInterface.encodeErrorResult('TotalDataOutOfRange', [5n, 4n]), [dataTradeInterface]))).toBe(
    'TOTAL_DATA_OUT_OF_RANGE',
  )
  expect(revertCode(new SluiceError('TRANSACTION_REVERTED', 'x', { details: { reason: 'NOT_THE_BUYER' } }))).toBe('NOT_THE_BUYER')
  expect(revertCode(new SluiceError('TRANSACTION_REVERTED', 'x'))).toBe('TRANSACTION_REVERTED')
  expect(revertCode(new Error('x'))).toBeUndefined()
})
