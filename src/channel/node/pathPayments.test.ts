import { describe, expect, it } from 'vitest'
import { toHex, type Hex } from '../../core/bytes.ts'
import { generateKey } from '../../core/crypto/key.ts'
import type { NodeContext } from './context.ts'
import type { LockEntry, LockRecord } from './channel.ts'
import { createPathPayments } from './pathPayments.ts'
import type { KeptPayment } from './payment.ts'
import type { Proofs } from './proofs.ts'

const word = (byte: number): Hex => toHex(new Uint8Array(32).fill(byte))
const NOW = 1_800_000_000
const target = generateKey()
const payment: KeptPayment = {
  id: word(1),
  direction: 'out',
  tokenNetwork: word(2),
  peer: target.address.toLowerCase() as Hex,
  amount: 100n,
  fee: 0n,
  state: 'pending',
  secrethash: word(3),
  secret: word(4),
  at: NOW * 1000,
  reason: undefined,
}

function part(index: number, amount: bigint, expiry: number): LockRecord {
  const { id: paymentId, secrethash, amount: total, peer } = payment
  const rest = { initiator: word(9), target: peer, route: [], twin: undefined, secret: undefined, givenBack: false, publicAt: 0 }
  return { index, amount, expiry, secrethash: secrethash!, paymentId, total, ...rest }
}

/** The payer of a payment whose parts are locked, and what it tells the partner. */
function payer(...parts: LockRecord[]) {
  const told: { type: string; fields: object }[] = []
  const entries = parts.map((lock) => ({ own: true, lock, channel: { partner: word(8) } }) as unknown as LockEntry)
  const context = {
    journal: { put: () => {}, then: (effect: () => void) => effect() },
    locks: { of: () => entries },
    links: { get: () => ({ send: (type: string, fields: object) => told.push({ type, fields }) }) },
    time: { now: () => NOW },
    log: { warn: () => {} },
  } as unknown as NodeContext
  const payments = createPathPayments(context, {} as Proofs, {
    revealTimeout: 60,
    plan: () => [],
    prepare: async () => {},
    blame: () => {},
    isSigner: () => false,
  })
  for (const lock of parts) payments.takeUp(payment, lock)
  return { payments, told }
}

const request = (amount = 100n) => ({
  type: 'secretRequest' as const,
  paymentId: payment.id,
  secrethash: payment.secrethash!,
  amount,
  expiry: NOW + 100,
  signature: new Uint8Array(65),
  delegation: new Uint8Array(0),
})

describe('a secret that is asked for', () => {
  it('is given for all of the parts, while none of them is over', () => {
    const { payments, told } = payer(part(0, 40n, NOW + 1), part(1, 60n, NOW + 100))
    expect(payments.requested(request(), target.publicKey)).toBe(true)
    expect(told).toMatchObject([{ type: 'secretGrant', fields: { paymentId: payment.id } }])
  })

  it.each([
    ['a part is over', [part(0, 40n, NOW), part(1, 60n, NOW + 100)], 100n],
    ['a part is missing', [part(1, 60n, NOW + 100)], 100n],
    ['the target asks for a part alone', [part(1, 60n, NOW + 100)], 60n],
  ])('is not given when %s', (_what, parts, amount) => {
    const { payments, told } = payer(...parts)
    expect(payments.requested(request(amount), target.publicKey)).toBe(true)
    expect(told).toEqual([])
    expect(payments.find(payment.id)).toMatchObject({ state: 'pending' })
  })

  it('is not given to another key', () => {
    const { payments, told } = payer(part(0, 100n, NOW + 100))
    payments.requested(request(), generateKey().publicKey)
    expect(told).toEqual([])
  })
})
