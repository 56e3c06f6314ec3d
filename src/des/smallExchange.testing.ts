/**
 * The least that an exchange is, for tests of its clients: it forwards, keeps no books, and trusts everybody's balance.
 * @module
 */
import { createMerkleTree, leafHash } from '../core/crypto/merkle.ts'
import { fromHex, toHex } from '../core/bytes.ts'
import { systemClock } from '../core/clock.ts'
import {
  grapheneKey,
  recoverPayer,
  seedSecret,
  transferDigest,
  type AccountId,
  type GrapheneKey,
} from '../core/crypto/graphene/index.ts'
import { isSluiceError, SluiceError } from '../core/errors.ts'
import { listenHttp, type HttpListener } from '../core/http/listenHttp.ts'
import { evidenceDigest, writeEvidence, type EvidenceItem } from './evidence.ts'
import {
  isTimely,
  readHeartbeat,
  readJson,
  readRequest,
  readSourceData,
  requestIdOf,
  verifyHeartbeat,
  writeCreated,
  writeForward,
  writeJson,
  writeProduct,
  writeResult,
  type Dialect,
  type OnlineSource,
  type ProductAnswer,
  type RequestItem,
  type SourceResult,
} from './wire/index.ts'

/** What a test sets and looks at. */
export interface SmallExchange extends HttpListener {
  readonly key: GrapheneKey
  /** Accounts and their keys: who may send heartbeats and ask. */
  readonly accounts: Map<string, string>
  /** What it sells; `onlineDatasources` is its own. */
  product: ProductAnswer['product']
  percent: number
  /** Online data sources, by account. */
  readonly online: Map<AccountId, OnlineSource & { url: string }>
  /** Forwards bare questions, answers at once, and knows no suites: as the servers of GXChain do. */
  old: boolean
  /** Whether it says that it heeds `enough`: it answers then as soon as there are so many answers. */
  heedsEnough: boolean
  /** Awaited before each forward. */
  before: (item: RequestItem) => Promise<void>
  /** Called with each request of HTTP; what it returns is answered instead. */
  intercept: (method: string, path: string) => Response | undefined | Promise<Response | undefined>
  /** All that came, as `GET /api/product/1`. */
  readonly calls: string[]
  /** The query of each of them: `wait=20000&enough=1`. */
  readonly queries: string[]
  /** The content type of each of them. */
  readonly types: (string | null)[]
  /** Bodies of create requests. */
  readonly created: string[]
  /** Forwards a question once more. */
  forward(item: RequestItem, requestId: string): Promise<Response>
}

interface Kept {
  readonly dialect: Dialect
  readonly items: readonly RequestItem[]
  readonly results: SourceResult[]
  readonly evidence: EvidenceItem[]
  readonly listeners: Set<() => void>
}

export async function startSmallExchange(): Promise<SmallExchange> {
  const key = grapheneKey(seedSecret('des'))
  const requests = new Map<string, Kept>()
  const json = (value: unknown, status = 200): Response =>
    new Response(writeJson(value), { status, headers: { 'content-type': 'application/json' } })
  const over = (kept: Kept): boolean => kept.results.every(({ status }) => status !== 'WAIT_EXCHANGE')

  const exchange: Omit<SmallExchange, keyof HttpListener> = {
    key,
    accounts: new Map(),
    product: {
      productId: 1,
      version: 3,
      productName: 'KYC认证',
      briefDesc: '',
      categoryId: 1,
      price: { amount: 100_000n, assetId: '1.3.1' },
      datasources: [],
      issuer: 14,
      privacy: false,
      input: { name: { type: 'string', required: true }, idcard: { type: 'string' } },
      output: { result: { type: 'boolean', required: true } },
    },
    percent: 1000,
    online: new Map(),
    old: false,
    heedsEnough: true,
    before: async () => {},
    intercept: () => undefined,
    calls: [],
    queries: [],
    types: [],
    created: [],
    forward(item, requestId) {
      const { params, nonce, requestParams } = item
      const question = {
        params,
        nonce,
        publicKey: recoverPayer(requestParams),
        productId: exchange.product.productId,
        merchantAccountId: requestParams.from,
      }
      const { body, headers } = exchange.old
        ? { body: question, headers: {} }
        : writeForward({ ...question, requestId, requestParams, timestamp: Date.now() }, key)
      return fetch(exchange.online.get(requestParams.to)!.url, {
        method: 'POST',
        body: writeJson(body),
        headers: { 'content-type': 'application/json', ...headers },
      })
    },
  }

  async function handle(request: Request): Promise<Response> {
    const { pathname, searchParams } = new URL(request.url)
    exchange.calls.push(`${request.method} ${pathname}`)
    exchange.queries.push(searchParams.toString())
    exchange.types.push(request.headers.get('content-type'))
    const instead = await exchange.intercept(request.method, pathname)
    if (instead) return instead
    const [, id = '', more = ''] = /^\/api\/request\/([0-9a-f]{64})(\/\w+)?$/.exec(pathname) ?? []
    if (pathname === '/api/datasource/heartbeat') {
      const heartbeat = readHeartbeat(readJson(await request.text()))
      const { account, queryUrl, suites } = heartbeat
      const publicKey = exchange.accounts.get(account)
      if (!publicKey) throw new SluiceError('ACCOUNT_NOT_FOUND', `there is no account ${account}`)
      verifyHeartbeat(heartbeat, publicKey)
      if (!isTimely(heartbeat, Date.now())) throw new SluiceError('NOT_ALLOWED', 'too late')
      exchange.online.set(account, {
        accountId: account,
        publicKey: publicKey as `GXC${string}`,
        url: queryUrl!,
        ...(suites && { suites }),
      })
      return json({})
    }
    if (pathname === `/api/product/${exchange.product.productId}`) {
      const { version: _, ...bare } = exchange.product
      return json(
        writeProduct({
          product: exchange.old ? bare : exchange.product,
          des: { accountId: '1.2.17', percent: exchange.percent },
          onlineDatasources: [...exchange.online.values()].map(({ url: _, suites, ...each }) => ({
            ...each,
            ...(suites && !exchange.old && { suites }),
          })),
        }),
      )
    }
    if (pathname.startsWith('/api/product/')) throw new SluiceError('NO_SUCH_PRODUCT', 'there is no such product')
    const [, product, version] = /^\/api\/request\/create\/(\d+)(?:\/(\d+))?$/.exec(pathname) ?? []
    if (product) return create(await request.text(), version)
    const kept = requests.get(id)
    if (!kept) throw new SluiceError('NO_SUCH_REQUEST', 'there is no such request')
    if (more === '/cancel') return json({ cancelled: cancel(kept) })
    if (more === '/evidence') return json(writeEvidence(anchored(kept)))
    const heeds = !exchange.old && exchange.heedsEnough && searchParams.has('enough')
    const enough = heeds ? Number(searchParams.get('enough')) : Infinity
    const hasEnough = (): boolean => kept.results.filter((each) => each.status === 'SUCCESS').length >= enough
    if (!exchange.old)
      await Promise.race([until(kept, () => over(kept) || hasEnough()), systemClock.sleep(Number(searchParams.get('wait') ?? 0))])
    const status = !over(kept)
      ? 'IN_PROGRESS'
      : kept.results.some((each) => ['SUCCESS', 'NONE'].includes(each.status))
      ? 'FINISHED'
      : 'FAIL'
    const result = { status, total: kept.items.length, datasources: kept.results } as const
    const told = writeResult(exchange.old ? result : { ...result, productId: exchange.product.productId }, kept.dialect)
    return json(heeds ? { ...told, enough: hasEnough() } : told)
  }

  async function create(text: string, version: string | undefined): Promise<Response> {
    exchange.created.push(text)
    const { items, dialect } = readRequest(readJson(text))
    if (version !== undefined && Number(version) !== exchange.product.version)
      throw new SluiceError('PRODUCT_CHANGED', 'another version')
    for (const { requestParams } of items) {
      if (recoverPayer(requestParams) !== exchange.accounts.get(requestParams.from))
        throw new SluiceError('BAD_SIGNATURE', "not the payer's")
    }
    const id = requestIdOf(items.map(({ requestParams }) => toHex(transferDigest(requestParams)).slice(2)))
    if (!requests.has(id)) {
      const kept: Kept = {
        dialect,
        items,
        evidence: [],
        listeners: new Set(),
        results: items.map(({ requestParams }) => ({ status: 'WAIT_EXCHANGE', datasource: requestParams.to })),
      }
      requests.set(id, kept)
      void Promise.all(items.map((item, position) => answer(id, kept, item, position)))
    }
    return json(writeCreated(id))
  }

  async function answer(id: string, kept: Kept, item: RequestItem, position: number): Promise<void> {
    const { from, to } = item.requestParams
    const end = (result: Omit<SourceResult, 'datasource'>): void => {
      kept.results[position] = { datasource: to, ...result }
      for (const listener of kept.listeners) listener()
    }
    await exchange.before(item)
    if (kept.results[position]!.status !== 'WAIT_EXCHANGE') return
    try {
      const response = await exchange.forward(item, id)
      const data = readSourceData(response.status, response.status === 404 ? undefined : readJson(await response.text()))
      if (!data) return end({ status: 'NONE' })
      const authorisation = toHex(transferDigest(item.requestParams)).slice(2)
      const evidence = {
        requestId: id,
        position,
        productId: exchange.product.productId,
        version: exchange.product.version ?? 1,
        payer: from,
        payee: to,
        authorisation,
        cid: 'QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o',
        txid: authorisation,
      }
      kept.evidence.push({ ...evidence, digest: toHex(evidenceDigest(evidence)).slice(2) })
      const datasourcePublicKey = exchange.online.get(to)!.publicKey
      end({ status: 'SUCCESS', data: data.data, nonce: data.nonce ?? item.nonce, datasourcePublicKey, txid: authorisation })
    } catch (error) {
      end({ status: 'DATASOURCE_FAIL', comment: isSluiceError(error) ? error.shortMessage : 'out of reach' })
    }
  }

  function cancel(kept: Kept): number {
    const open = kept.results.flatMap(({ status }, at) => (status === 'WAIT_EXCHANGE' ? [at] : []))
    for (const at of open) kept.results[at] = { status: 'FAIL', datasource: kept.results[at]!.datasource, comment: 'cancelled' }
    for (const listener of kept.listeners) listener()
    return open.length
  }

  async function until(kept: Kept, holds: () => boolean): Promise<void> {
    if (holds()) return
    await new Promise<void>((resolve) => kept.listeners.add(() => holds() && resolve()))
  }

  function anchored({ evidence }: Kept): EvidenceItem[] {
    const tree = createMerkleTree(evidence.map(({ digest }) => leafHash(fromHex(`0x${digest}`))))
    return evidence.map((each, index) => ({
      ...each,
      anchor: {
        root: toHex(tree.root).slice(2),
        size: tree.size,
        index,
        proof: toHex(tree.proof(index)).slice(2),
        txid: 'ab'.repeat(32),
      },
    }))
  }

  const statuses: Readonly<Record<string, number>> = {
    NO_SUCH_PRODUCT: 404,
    NO_SUCH_REQUEST: 404,
    ACCOUNT_NOT_FOUND: 404,
    NOT_ALLOWED: 403,
    PRODUCT_CHANGED: 409,
  }
  const listener = await listenHttp({
    fetch: async (request) => {
      try {
        return await handle(request)
      } catch (error) {
        if (!isSluiceError(error)) throw error
        return json({ code: error.code, detail: error.shortMessage }, statuses[error.code] ?? 400)
      }
    },
  })
  return Object.assign(exchange, listener)
}
