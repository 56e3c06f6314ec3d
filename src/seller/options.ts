/**
 * Checks of what a seller is made from.
 * @module
 */
import {
  address,
  assertArguments,
  callback,
  clock,
  connectedSigner,
  either,
  having,
  integer,
  listOf,
  logger,
  milliseconds,
  oneOf,
  optional,
  rule,
  store,
  text,
} from '../core/argument.ts'
import { MAX_GRANULARITY } from '../protocol/frame.ts'
import { defaultLimits } from './desk.ts'
import type { SellerOptions } from './seller.ts'

/** Most of what is counted or waited for, past any need and far from overflow. */
const MOST = 2 ** 31 - 1

const optionRules = {
  signer: connectedSigner,
  store: /* @__PURE__ */ either(store, /* @__PURE__ */ text(1)),
  items: /* @__PURE__ */ rule('a list such as [{ id: "weather", data: "weather.csv", price: 1000n }]', Array.isArray),
  dataTrade: /* @__PURE__ */ optional(address),
  granularity: /* @__PURE__ */ optional(/* @__PURE__ */ integer(1, MAX_GRANULARITY, 'number of bytes', 262_144)),
  window: /* @__PURE__ */ optional(/* @__PURE__ */ integer(1, 65_536, 'number of chunks', 64)),
  modes: /* @__PURE__ */ optional(/* @__PURE__ */ listOf(/* @__PURE__ */ oneOf('voucher', 'onchain'), 1)),
  payments: /* @__PURE__ */ optional(
    /* @__PURE__ */ listOf(/* @__PURE__ */ having('a payment method, such as channelPayments({ node })', 'accept', 'close')),
  ),
  confirmations: /* @__PURE__ */ optional(/* @__PURE__ */ integer(1, MOST, 'number of blocks', 3)),
  ackTimeout: /* @__PURE__ */ optional(milliseconds),
  confirmTimeout: /* @__PURE__ */ optional(milliseconds),
  settleDelay: /* @__PURE__ */ optional(milliseconds),
  minLifetime: /* @__PURE__ */ optional(/* @__PURE__ */ integer(0, MOST, 'number of seconds', 600)),
  validUntil: /* @__PURE__ */ optional(/* @__PURE__ */ integer(0, 0xffff_ffff, 'number of seconds since 1970', 1_900_000_000)),
  rate: /* @__PURE__ */ optional(callback),
  limits: /* @__PURE__ */ optional(
    /* @__PURE__ */ rule('an object such as { connections: 100 }', (value) => typeof value === 'object' && value !== null),
  ),
  clock: /* @__PURE__ */ optional(clock),
  log: /* @__PURE__ */ optional(logger),
}

const limitRules = /* @__PURE__ */ Object.fromEntries(
  Object.keys(defaultLimits).map((name) => [name, optional(integer(0, undefined, 'number', 100))]),
)

/** Throws `BAD_ARGUMENT` naming the first option that doesn't fit. The items are checked one by one, by `prepareItem`. */
export function assertSellerOptions(options: SellerOptions): void {
  assertArguments(options, optionRules, 'options')
  if (options.limits !== undefined) assertArguments(options.limits, limitRules, 'options.limits')
}
