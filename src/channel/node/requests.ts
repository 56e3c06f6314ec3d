/**
 * What callers of a node may pass in: its methods hold their arguments against these rules before anything else is done.
 * @module
 */
import {
  abortSignal,
  address,
  amount,
  assertArguments,
  flag,
  hexText,
  integer,
  listOf,
  milliseconds,
  oneOf,
  optional,
  rule,
  shape,
  store,
  type Rule,
} from '../../core/argument.ts'
import { assertAddress } from '../../core/address.ts'
import { assertArgument } from '../../core/errors.ts'

/** Bits of a deposit and of a withdrawal in all, as the contract keeps them. */
const DEPOSIT_BITS = 104
/** Bits of a payment, as messages and proofs carry it. */
const PAYMENT_BITS = 128

const channelId: Rule = /* @__PURE__ */ (() => hexText(32))()
const signal: Rule = /* @__PURE__ */ optional(abortSignal)
const tokenNetwork: Rule = /* @__PURE__ */ optional(address)
const deposit: Rule = /* @__PURE__ */ optional(/* @__PURE__ */ amount(DEPOSIT_BITS))
const total: Rule = /* @__PURE__ */ amount(DEPOSIT_BITS, 1n)
const paid: Rule = /* @__PURE__ */ amount(PAYMENT_BITS, 1n)
const moment: Rule = /* @__PURE__ */ optional(/* @__PURE__ */ integer(0))
const options: Rule = /* @__PURE__ */ rule(
  'an object such as { signal }, or left out',
  (value) => value === undefined || (typeof value === 'object' && value !== null),
)
const half: Rule = /* @__PURE__ */ shape(
  'an object with tokenNetwork, an address, and amount, a bigint such as 1000n from 1 and below 2^128',
  { tokenNetwork: address, amount: paid },
)

const rules = {
  open: { partner: address, deposit, tokenNetwork, signal },
  openMany: {
    channels: /* @__PURE__ */ listOf(
      /* @__PURE__ */ shape('an object with partner, an address, and deposit, a bigint below 2^104 or left out', {
        partner: address,
        deposit,
      }),
      1,
    ),
    tokenNetwork,
    signal,
  },
  relayableOpen: { partner: address, deposit: /* @__PURE__ */ amount(DEPOSIT_BITS), tokenNetwork, signal },
  channel: { channelId },
  deposit: { channelId, totalDeposit: total, options },
  withdraw: { channelId, totalWithdraw: total, options },
  operation: { channelId, options },
  options: { options },
  signal: { signal },
  close: { how: /* @__PURE__ */ optional(/* @__PURE__ */ oneOf('together', 'alone')), signal },
  pay: {
    to: address,
    amount: paid,
    tokenNetwork,
    id: /* @__PURE__ */ optional(channelId),
    maxFee: /* @__PURE__ */ optional(/* @__PURE__ */ amount(PAYMENT_BITS)),
    split: /* @__PURE__ */ optional(flag),
    timeout: /* @__PURE__ */ optional(milliseconds),
    lockTime: moment,
    latest: moment,
    signal,
  },
  stream: { to: address, unit: paid, tokenNetwork },
  swap: { to: address, give: half, take: half, signal },
  payments: {
    direction: /* @__PURE__ */ optional(/* @__PURE__ */ oneOf('in', 'out')),
    idPrefix: /* @__PURE__ */ optional(
      /* @__PURE__ */ rule('the beginning of an id: 0x and at most 64 hex digits, such as 0x1a', (value) =>
        typeof value === 'string' && /^(0x[0-9a-fA-F]{0,64})?$/.test(value),
      ),
    ),
  },
  connect: { account: address, options },
  backup: { to: store },
} as const satisfies Readonly<Record<string, Readonly<Record<string, Rule>>>>

/** Names of what a call may be given. */
export type RequestName = keyof typeof rules

/**
 * Holds what a method was given against its rules.
 * @throws `BAD_ARGUMENT` naming the argument, and showing a right one.
 */
export function assertRequest(name: RequestName, values: unknown, where?: string): void {
  assertArguments(values, rules[name], where)
}

/**
 * An account that money may go to, in lower case.
 * @throws `BAD_ARGUMENT` for a wrong checksum, and for this node's own account.
 */
export function otherAccount(value: string, name: string, own: string): `0x${string}` {
  // One case only is written by programs, where a digit isn't mistyped.
  if (!/^0x([0-9a-f]*|[0-9A-F]*)$/.test(value)) assertAddress(value, name)
  const account = value.toLowerCase() as `0x${string}`
  assertArgument(account !== own, name, 'the address of another account')
  return account
}
