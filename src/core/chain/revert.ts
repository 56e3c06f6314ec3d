import { AbiCoder, type ErrorDescription, Interface } from 'ethers'
import { type ErrorCode, type ErrorDetails, isSluiceError, SluiceError } from '../errors.ts'
import { jsonRpcError } from '../retry.ts'

/** ERC-6093: what tokens revert with. Not Sluice's own errors, so they get no code of their own. */
const TOKEN_ERRORS = new Interface([
  'error ERC20InsufficientBalance(address sender, uint256 balance, uint256 needed)',
  'error ERC20InvalidSender(address sender)',
  'error ERC20InvalidReceiver(address receiver)',
  'error ERC20InsufficientAllowance(address spender, uint256 allowance, uint256 needed)',
  'error ERC20InvalidApprover(address approver)',
  'error ERC20InvalidSpender(address spender)',
  'error SafeERC20FailedOperation(address token)',
])

/**
 * The panics that arithmetic and arrays come to; the others keep their number.
 * Source: Solidity documentation, "Panic via assert and Error via require".
 */
const PANICS: Readonly<Record<number, string>> = {
  0x01: 'failed assertion',
  0x11: 'arithmetic overflow',
  0x12: 'division by zero',
  0x32: 'index out of bounds',
}

const ERROR_STRING = '0x08c379a0'
const PANIC = '0x4e487b71'

/**
 * Turns what a contract reverted with into an error.
 *
 * A custom error of one of `interfaces` becomes the code of its name (`DepositTooLarge` is `DEPOSIT_TOO_LARGE`) with its
 * arguments in the details; pass the interfaces of Sluice's contracts only, for only those names are codes. Everything
 * else, `Error(string)`, `Panic(uint256)` and the token errors of ERC-6093 included, is `CONTRACT_REVERTED`.
 * @param data the revert data in hex, null if the node gave none.
 */
export function revertError(data: string | null, interfaces: readonly Interface[] = []): SluiceError {
  const selector = data?.slice(0, 10).toLowerCase() ?? '0x'
  if (data === null || selector.length < 10) return reverted('without a reason', {})
  if (selector === ERROR_STRING) {
    const reason = decode('string', data)
    if (typeof reason === 'string') return reverted(`: ${reason}`, { reason })
  }
  if (selector === PANIC) {
    const panic = decode('uint256', data)
    if (panic !== undefined)
      return reverted(`with a panic: ${PANICS[Number(panic)] ?? `code ${Number(panic)}`}`, { panic: Number(panic) })
  }
  const token = parse(TOKEN_ERRORS, data)
  if (token) return reverted(`with ${describe(token)}`, { error: token.name, ...argumentsOf(token) })
  for (const face of interfaces) {
    const found = parse(face, data)
    if (found) {
      return new SluiceError(errorCodeOf(found.name), `contract reverted with ${describe(found)}`, {
        details: { error: found.name, ...argumentsOf(found) },
      })
    }
  }
  return reverted(`with an error that is not known, ${selector}`, { selector })
}

/** The code of a custom error: its name in upper case, words joined by `_`. */
export function errorCodeOf(name: string): ErrorCode {
  return name
    .replace(/([a-z0-9])([A-Z])/g, '$1_$2')
    .replace(/([A-Z])([A-Z][a-z])/g, '$1_$2')
    .toUpperCase() as ErrorCode
}

/**
 * Finds the revert data in an error of ethers.
 * @returns hex, null for a revert without data, undefined if the error is no revert.
 */
export function revertData(error: unknown): string | null | undefined {
  if (!(error instanceof Error) || !('code' in error) || error.code !== 'CALL_EXCEPTION') return undefined
  if ('data' in error && typeof error.data === 'string') return error.data
  // Without data ethers cannot tell a revert from any other answer to a call.
  const inner = jsonRpcError(error)
  const text = typeof inner?.message === 'string' ? inner.message : ''
  return !inner || Number(inner.code) === 3 || /revert|opcode|out of ?gas|EVM error|gas required exceeds/i.test(text)
    ? null
    : undefined
}

/** Throws what a call of ethers failed with: the error behind a revert, everything else as it is. */
export function throwRevert(error: unknown, interfaces: readonly Interface[]): never {
  const data = revertData(error)
  throw data === undefined ? error : revertError(data, interfaces)
}

function reverted(how: string, details: ErrorDetails): SluiceError {
  return new SluiceError('CONTRACT_REVERTED', `contract reverted${how.startsWith(':') ? '' : ' '}${how}`, { details })
}

function parse(face: Interface, data: string): ErrorDescription | null {
  try {
    return face.parseError(data)
  } catch {
    return null // a selector that is ours before bytes that are not
  }
}

function decode(type: string, data: string): unknown {
  try {
    return AbiCoder.defaultAbiCoder().decode([type], `0x${data.slice(10)}`)[0]
  } catch {
    return undefined
  }
}

function describe(error: ErrorDescription): string {
  const parts = Object.entries(argumentsOf(error)).map(([name, value]) => `${name} ${String(value)}`)
  return parts.length ? `${error.name} (${parts.join(', ')})` : error.name
}

function argumentsOf({ fragment, args }: ErrorDescription): ErrorDetails {
  return Object.fromEntries(fragment.inputs.map(({ name }, i) => [name || String(i), plain(args[i])]))
}

function plain(value: unknown): string | bigint | boolean {
  if (typeof value === 'bigint' || typeof value === 'boolean') return value
  return Array.isArray(value) ? `[${Array.from(value, (item) => String(plain(item))).join(', ')}]` : String(value)
}

/** The code of the custom error that stopped a transaction, whether it was met before sending or only in a block. */
export function revertCode(error: unknown): string | undefined {
  if (!isSluiceError(error)) return undefined
  return error.code === 'TRANSACTION_REVERTED' && typeof error.details.reason === 'string' ? error.details.reason : error.code
}
