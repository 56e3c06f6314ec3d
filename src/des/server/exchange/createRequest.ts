/**
 * Takes a request (seed 2.3): checks what a merchant signed, and sets the money apart.
 * @module
 */
import { sql as statement } from 'kysely'
import { toHex } from '../../../core/bytes.ts'
import {
  recoverPayer,
  transferDigest,
  type AccountId,
  type PublicKeyText,
  type SignedTransferParams,
} from '../../../core/crypto/graphene/index.ts'
import { SluiceError } from '../../../core/errors.ts'
import type { HoldRequest } from '../../../core/ledger/index.ts'
import { createBatcher } from '../../../core/sql/batcher.ts'
import { readRequest, requestIdOf, writeTransferParams, type Dialect, type RequestItem } from '../../wire/index.ts'
import type { ExchangeContext } from '../context.ts'
import { holdKey } from './items.ts'
import type { Question } from './forward.ts'
import { noAccount, type Catalogue, type ProductOnSale } from './sources.ts'

/** Seconds that an authorisation may be good for at most. Source: gxb-core's `maximum_time_until_expiration`. */
const LONGEST = 86_400
/** Seconds that it must be good for at least: a transfer takes its time. */
const SHORTEST = 10
/** Milliseconds that money stays set apart after an authorisation is over: its end may not be known before. */
const HOLD_BEYOND = 86_400_000

/** A request that was checked. */
interface Checked {
  readonly id: string
  readonly product: ProductOnSale
  readonly payer: AccountId
  readonly payerKey: PublicKeyText
  readonly dialect: Dialect
  readonly items: readonly CheckedItem[]
}

interface CheckedItem extends RequestItem {
  readonly digest: string
  readonly serviceUrl: string
}

/** What came of a request. */
export interface Created {
  /** SHA-256 of its authorisations' digests: the same authorisations are the same request. */
  readonly id: string
  /** What is to be asked by this process; empty for a request that was there already. */
  readonly questions: readonly Question[]
}

/** See {@link createRequests}. */
export interface Requests {
  /**
   * Creates a request. The same authorisations again are answered with the same request, and charged once.
   * @param value the body, after `readJson`.
   * @param version of the product that the merchant has seen; 0 for whichever it is.
   * @throws `BAD_MESSAGE`; `NO_SUCH_PRODUCT`, `PRODUCT_CHANGED`; `ACCOUNT_NOT_FOUND`, `BAD_SIGNATURE`; `AUTHORISATION_INVALID`
   * naming the field; `SOURCE_OFFLINE`; `AUTHORISATION_USED`; `BALANCE_SHORT`. Then nothing is held.
   */
  create(productId: number, value: unknown, version?: number): Promise<Created>
  settled(): Promise<void>
}

/** Creates what takes the requests of an exchange. `mine` tells how many questions this process can ask at once. */
export function createRequests(context: ExchangeContext, catalogue: Catalogue, mine: () => number): Requests {
  const { settlement, clock, rules } = context
  const batches = createBatcher<Checked, Created>({ run: (checked) => store(context, checked, mine()) })

  return {
    async create(productId, value, version = 0) {
      const { items, dialect } = readRequest(value)
      const product = await catalogue.find(productId)
      if (version !== 0 && version !== product.version) {
        throw new SluiceError('PRODUCT_CHANGED', `product ${productId} is in version ${product.version}, not ${version}`, {
          details: { productId, version: product.version },
        })
      }
      const payer = items[0]!.requestParams.from
      const publicKey = await settlement.publicKeyOf(payer)
      if (publicKey === undefined) throw noAccount(payer)
      const online = new Map(product.online.map((source) => [source.account, source]))
      const seen = new Set<AccountId>()
      const checked = items.map((item, i): CheckedItem => {
        const field = `request[${i}].requestParams`
        const { requestParams } = item
        checkTerms(context, product, payer, requestParams, field)
        const { to } = requestParams
        if (seen.has(to)) throw invalid(`${field}.to`, `asks ${to} twice`)
        seen.add(to)
        const source = online.get(to)
        if (!source) {
          const reason = product.members.includes(to) ? 'is offline' : `does not sell product ${productId}`
          throw new SluiceError('SOURCE_OFFLINE', `data source ${to} ${reason}`, { details: { datasource: to, productId } })
        }
        if (recoverPayer(requestParams) !== publicKey) {
          throw new SluiceError(
            'BAD_SIGNATURE',
            `${field}.signatures[0] must be by ${publicKey}, the key of the payer ${payer}`,
            {
              details: { field: `${field}.signatures[0]`, owner: 'payer', account: payer },
            },
          )
        }
        return { ...item, digest: toHex(transferDigest(requestParams)).slice(2), serviceUrl: source.serviceUrl }
      })
      const id = requestIdOf(checked.map(({ digest }) => digest))
      return batches.add({
        id,
        product,
        payer,
        payerKey: publicKey,
        dialect,
        items: checked,
      })
    },
    settled: () => batches.settled(),
  }

  function checkTerms(
    { account, percent }: ExchangeContext,
    { price, asset }: ProductOnSale,
    payer: AccountId,
    params: SignedTransferParams,
    field: string,
  ): void {
    const must = (holds: boolean, name: string, what: string): void => {
      if (!holds) throw invalid(`${field}.${name}`, what)
    }
    const now = Math.floor(clock.now() / 1000)
    must(params.from === payer, 'from', `must be ${payer}, as in the first item`)
    must(params.from !== account, 'from', 'must be another account than the exchange')
    must(params.to !== payer, 'to', 'must be another account than the payer')
    must(params.proxyAccount === account, 'proxyAccount', `must be the exchange, ${account}`)
    must(params.percent === percent, 'percent', `must be ${percent}, what the exchange keeps`)
    must(params.amount.amount === price, 'amount.amount', `must be the price, ${price}`)
    must(params.amount.assetId === asset, 'amount.assetId', `must be the price's, ${asset}`)
    must(params.memo !== '', 'memo', 'must be the MD5 of the input')
    must(params.expiration >= now + SHORTEST, 'expiration', `must be at least ${SHORTEST} s from now`)
    must(
      params.expiration <= now + LONGEST + Math.ceil(rules.clockSkew / 1000),
      'expiration',
      `must be at most ${LONGEST} s from now`,
    )
  }
}

/** Stores many requests in one transaction, each as a whole or not at all. */
function store(
  { sql, ledger, settlement, clock, rules }: ExchangeContext,
  all: readonly Checked[],
  capacity: number,
): Promise<readonly (Created | Error)[]> {
  return sql.transaction(async (tx) => {
    const now = clock.now()
    const unique = [...new Map(all.map((request) => [request.id, request])).values()]
    const { rows: made } = await statement<{
      id: string
    }>`insert into des_requests (id, product, version, payer, dialect, total, created_at)
      select id, product, version, payer, dialect, total, ${now}::int8 from unnest(
        ${unique.map(({ id }) => id)}::text[], ${unique.map(({ product }) => product.id)}::int[], ${unique.map(
          ({ product }) => product.version,
        )}::int[],
        ${unique.map(({ payer }) => payer)}::text[], ${unique.map(({ dialect }) => JSON.stringify(dialect))}::jsonb[],
        ${unique.map(({ items }) => items.length)}::int[]) as r (id, product, version, payer, dialect, total)
      on conflict (id) do nothing returning id`.execute(tx)
    const fresh = new Set(made.map(({ id }) => id))
    const requests = unique.filter(({ id }) => fresh.has(id))
    // What this process can ask at once is its own from the beginning: no other will look for it.
    let room = capacity
    const rows = requests.flatMap((request) =>
      request.items.map((item, position) => ({
        request,
        item,
        position,
        state: room-- > 0 ? ('FORWARDED' as const) : ('HELD' as const),
      })),
    )
    const timeoutOf = ({ product }: Checked): number => (product.privacy ? rules.privacyTimeout : rules.answerTimeout)
    const { rows: stored } = await statement<{ id: bigint; request: string; digest: string }>`insert into des_items (
        request, position, product, payer, payee, digest, amount, asset, authorisation, expiration, question, nonce, state, due_at, attempt, created_at)
      select *, ${now}::int8 from unnest(
        ${rows.map(({ request }) => request.id)}::text[], ${rows.map(({ position }) => position)}::int[],
        ${rows.map(({ request }) => request.product.id)}::int[], ${rows.map(({ request }) => request.payer)}::text[],
        ${rows.map(({ item }) => item.requestParams.to)}::text[], ${rows.map(({ item }) => item.digest)}::text[],
        ${rows.map(({ request }) => request.product.price)}::numeric[], ${rows.map(
          ({ request }) => request.product.asset,
        )}::text[],
        ${rows.map(({ item }) => authorisationOf(item))}::jsonb[], ${rows.map(
          ({ item }) => item.requestParams.expiration,
        )}::int8[],
        ${rows.map(({ item }) => item.params)}::text[], ${rows.map(({ item }) => item.nonce)}::numeric[],
        ${rows.map(({ state }) => state)}::text[],
        ${rows.map(({ request, state }) => now + (state === 'HELD' ? 0 : timeoutOf(request) + LEASE))}::int8[],
        ${rows.map(({ state }) => (state === 'HELD' ? 0 : 1))}::int[])
      on conflict (digest) do nothing returning id, request, digest`.execute(tx)
    const ids = new Map(stored.map(({ digest, id }) => [digest, id]))
    const failures = new Map<string, Error>()
    for (const { id, items } of requests) {
      const count = stored.filter(({ request }) => request === id).length
      if (count < items.length)
        failures.set(
          id,
          used(items.find(({ digest }) => !stored.some((row) => row.digest === digest && row.request === id))!.digest),
        )
    }
    const paid = requests.filter(({ id, product }) => !failures.has(id) && product.price > 0n)
    const holds: HoldRequest[][] = []
    for (const { payer, items, product } of paid) {
      const account = await settlement.ledgerAccount(tx, payer, product.asset)
      holds.push(
        items.map(({ digest, requestParams }) => ({
          key: holdKey(digest),
          account,
          amount: product.price,
          expiresAt: requestParams.expiration * 1000 + HOLD_BEYOND,
        })),
      )
    }
    const outcomes = holds.length > 0 ? await ledger.holdAll(tx, holds) : []
    paid.forEach(({ id, payer, items, product }, i) => {
      const outcome = outcomes[i]
      if (outcome instanceof Error) failures.set(id, shortOf(outcome, payer, product.price * BigInt(items.length)))
    })
    if (failures.size > 0) {
      const refused = [...failures.keys()]
      await tx.deleteFrom('des_items').where('request', 'in', refused).execute()
      await tx.deleteFrom('des_requests').where('id', 'in', refused).execute()
    }
    const questionsOf = (request: Checked): Question[] =>
      rows
        .filter((row) => row.request.id === request.id && row.state === 'FORWARDED')
        .map(({ item }) => ({
          item: ids.get(item.digest)!,
          request: request.id,
          digest: item.digest,
          product: request.product.id,
          payer: request.payer,
          payerKey: request.payerKey,
          params: item.requestParams,
          sealed: item.params,
          nonce: item.nonce,
          serviceUrl: item.serviceUrl,
          timeout: timeoutOf(request),
        }))
    const first = new Set<string>()
    return all.map((request) => {
      const failure = failures.get(request.id)
      if (failure) return failure
      const isNew = fresh.has(request.id) && !first.has(request.id)
      first.add(request.id)
      return { id: request.id, questions: isNew ? questionsOf(request) : [] }
    })
  })
}

/** Milliseconds after the time to answer at which somebody looks whether the process that asked is still there. */
const LEASE = 5_000

const authorisationOf = ({ requestParams }: RequestItem): string =>
  JSON.stringify(writeTransferParams(requestParams), (_, value: unknown) =>
    typeof value === 'bigint' ? value.toString() : value,
  )

function invalid(field: string, what: string): SluiceError {
  return new SluiceError('AUTHORISATION_INVALID', `${field} ${what}`, { details: { field } })
}

function used(digest: string): SluiceError {
  return new SluiceError('AUTHORISATION_USED', 'an authorisation of this request belongs to another one already', {
    details: { digest },
  })
}

/** In the words of whoever pays. */
function shortOf(error: Error, payer: AccountId, needed: bigint): Error {
  if (!(error instanceof SluiceError) || error.code !== 'BALANCE_SHORT') return error
  const { missing } = error.details
  return new SluiceError(
    'BALANCE_SHORT',
    `${payer} is ${String(missing)} short: ${needed} are needed, other requests' holds counted`,
    {
      details: { account: payer, missing, needed },
    },
  )
}
