import { assertArguments, callback, clock as clockRule, either, having, integer, listOf, logger, optional, rule, shape, text } from '../../core/argument.ts'
import { fromHex } from '../../core/bytes.ts'
import { systemClock, type Clock } from '../../core/clock.ts'
import {
  isAccountId,
  isSignedBy,
  keyFromWif,
  textDigest,
  type AccountId,
  type GrapheneKey,
} from '../../core/crypto/graphene/index.ts'
import { type AsyncCloseable, stops } from '../../core/dispose.ts'
import { assertArgument } from '../../core/errors.ts'
import { sqlIdempotencyKeys } from '../../core/http/idempotency.ts'
import { createHttpService, type HttpService } from '../../core/http/index.ts'
import { createSafeFetch } from '../../core/http/safeFetch.ts'
import { createJobs, type DeadJob, type Jobs } from '../../core/jobs/index.ts'
import { createLedger } from '../../core/ledger/index.ts'
import { silentLogger, type Logger } from '../../core/log.ts'
import { createSignIn } from '../../core/signIn/index.ts'
import { migrate, openPglite, openPostgres, type Sql } from '../../core/sql/index.ts'
import { createTelemetry } from '../../core/telemetry/index.ts'
import { readJson, writeJson } from '../wire/index.ts'
import { billingRoutes } from './billing/index.ts'
import { openChain, type ChainOptions } from './chain/index.ts'
import { sqlContentStore } from './content/index.ts'
import type { ContentStore, ExchangeContext, ExchangeRules, Settlement } from './context.ts'
import { migrations, type Database } from './database.ts'
import { anchorEvidence, MAX_BATCH } from './evidence/evidence.ts'
import { createExchange } from './exchange/exchange.ts'
import { createLedgerSettlement, type ExchangeAccounts } from './exchange/ledgerSettlement.ts'
import { exchangeRoutes } from './exchange/routes.ts'
import { expireVotes, marketRoutes, merchantOf, type MarketUser } from './market/index.ts'
import { defaultRules } from './rules.ts'
import { createNotifier, noticeRoutes, type MailOptions } from './notices/index.ts'

/** Options of {@link createExchangeServer}. */
export interface ExchangeServerOptions {
  /**
   * Where everything is kept: a folder for PGlite in this process, the URL of a PostgreSQL (`postgres://…`) that any number of
   * servers share, or a database that is open. @default PGlite in memory, for trials
   */
  readonly database?: string | Sql<unknown> | undefined
  /** Signs what the exchange says; `proxy_account`'s key, as text ("wallet import format") or held. */
  readonly key: string | GrapheneKey
  /** What the exchange keeps of each amount, in ten-thousandths: 1000 is a tenth. */
  readonly percent: number
  /** Where money moves: the contracts on a chain. @default the ledger of the database, in which the operator books deposits */
  readonly chain?: ChainOptions | undefined
  /** Where sealed answers are kept. @default the database */
  readonly content?: ContentStore | undefined
  /** How members are sent e-mail. @default notices are kept in the notification centre alone */
  readonly mail?: MailOptions | undefined
  /** Who asks, for the operator's own sign-in. @default sign-in by a challenge that the account's key signs */
  readonly authenticate?: ((request: Request) => MarketUser | undefined | Promise<MarketUser | undefined>) | undefined
  /** The bearer token of internal calls (1.2); 16 visible ASCII characters at least. @default nobody may make them */
  readonly operatorToken?: string | undefined
  /** Where the service is reached: people read it in what they sign to sign in. @default http://localhost */
  readonly origin?: string | undefined
  /** Host names that the service is reached under, beside this machine's own. @default none */
  readonly hosts?: readonly string[] | undefined
  /** Origins whose web pages may use the service, such as `https://market.example`. @default none */
  readonly origins?: readonly string[] | undefined
  /** @default the seed's; see {@link ExchangeRules} */
  readonly rules?: Partial<ExchangeRules> | undefined
  /** @default systemClock */
  readonly clock?: Clock | undefined
  /** @default silentLogger */
  readonly log?: Logger | undefined
}

/** An exchange as a server. */
export interface ExchangeServer extends HttpService, AsyncCloseable {
  /** `proxy_account`. */
  readonly account: AccountId
  /** The accounts, where there is no chain: the operator opens them and books what comes in. */
  readonly accounts: ExchangeAccounts | undefined
  /** Begins the work in the background: what other processes have left, votes that end, evidence, e-mail, the chain. */
  start(): Promise<void>
  /** Work that was given up after many attempts, the newest first. */
  deadJobs(limit?: number): Promise<DeadJob[]>
  /** Gives a dead job all its attempts again. */
  reviveJob(id: bigint): Promise<boolean>
  /** Takes nothing more on, waits for what is under way, and closes what it has opened. */
  stop(): Promise<void>
}

/** Milliseconds between two looks at what is under way in the background. */
const EVERY = { votes: 10_000, evidence: 10_000, retention: 3_600_000 }

const object = rule('an object', (value) => typeof value === 'object' && value !== null && !Array.isArray(value))
const optionRules = {
  database: optional(either(rule('a folder, or a postgres:// URL', (value) => typeof value === 'string' && value !== '' && !value.includes('\0')),
    having('a database of openPglite() or openPostgres()', 'transaction', 'close'))),
  key: either(text(1), having('a key of grapheneKey()', 'sign')),
  percent: integer(0, 10_000),
  chain: optional(object),
  content: optional(having('a content store', 'put', 'get')),
  mail: optional(object),
  authenticate: optional(callback),
  operatorToken: optional(text(1)),
  origin: optional(text(1)),
  hosts: optional(listOf(text(1))),
  origins: optional(listOf(text(1))),
  rules: optional(shape('some of the exchange\'s rules', {})),
  clock: optional(clockRule),
  log: optional(logger),
}

/**
 * Creates a data exchange service (seed 001): market, exchange and accounts over HTTP. Any number of servers may share one
 * PostgreSQL: all state is in it.
 * @throws `BAD_ARGUMENT`, `BAD_KEY`, `SQL_FAILED`, `MIGRATION_CHANGED`; with a chain also `NOT_DEPLOYED`, `RPC_FAILED`.
 * @example
 * ```ts
 * const server = await createExchangeServer({ database: './exchange', key: '5JKG…', percent: 1000 })
 * await server.start()
 * await listenHttp(server, { port: 8080 })
 * ```
 */
export async function createExchangeServer(options: ExchangeServerOptions): Promise<ExchangeServer> {
  assertArguments(options, optionRules, 'options')
  const { percent, clock = systemClock, log = silentLogger, database, chain, mail } = options
  assertArgument(Number.isInteger(percent) && percent >= 0 && percent <= 10_000, 'percent', 'a whole number from 0 to 10000')
  const key = typeof options.key === 'string' ? keyFromWif(options.key) : options.key
  const rules: ExchangeRules = { ...defaultRules, ...options.rules }
  const undo: (() => unknown)[] = []
  try {
    return await create()
  } catch (error) {
    for (const step of undo.reverse()) await step()
    throw error
  }

  async function create(): Promise<ExchangeServer> {
    const sql = await openDatabase()
    await migrate(sql, 'des', migrations)
    const ledger = await createLedger(sql, { clock })
    const opened = chain ? await openChain({ ...chain, sql, ledger, clock, log }) : undefined
    const kept = chain ? undefined : await createLedgerSettlement(sql, ledger, { clock })
    const settlement: Settlement = opened?.settlement ?? kept!
    const account = opened ? await opened.accountOf(key.publicKey) : await kept!.openAccount(key.publicKey)
    const telemetry = createTelemetry()
    const content = options.content ?? sqlContentStore(sql, { clock })
    const notifier = createNotifier({ sql, clock, log, mail, add: (tx, job) => jobs.add(tx, job) })

    const context: ExchangeContext = {
      sql,
      ledger,
      settlement,
      content,
      clock,
      log,
      telemetry,
      key,
      account,
      percent,
      rules,
      notify: notifier.notify,
    }
    const jobs: Jobs = await createJobs(sql, {
      clock,
      log,
      handlers: telemetry.jobs({
        ...notifier.handlers,
        'des/votes': async () => void (await expireVotes(context)),
        'des/evidence': async ({ signal }) => {
          while (!signal.aborted && (await anchorEvidence(context, opened?.anchor)) === MAX_BATCH);
        },
        'des/retention': async () => void (await content.dropBefore(clock.now() - rules.keepAnswers)),
      }),
    })
    const outbound = createSafeFetch({ allowPrivate: rules.allowPrivateAddresses, clock })
    undo.push(() => outbound.close())
    const exchange = createExchange(context, outbound.fetch)

    const signIn = await createSignIn<Database, MarketUser>({
      sql,
      clock,
      origin: options.origin ?? 'http://localhost',
      async verify({ account: of, text, signature }) {
        const publicKey = isAccountId(of) ? await settlement.publicKeyOf(of) : undefined
        if (publicKey === undefined || !/^[0-9a-fA-F]{130}$/.test(signature)) return undefined
        const isTheirs = isSignedBy(textDigest(text), fromHex(`0x${signature}`), publicKey)
        return isTheirs ? merchantOf(context, of as AccountId) : undefined
      },
    })
    const service = createHttpService<MarketUser>({
      title: 'Sluice data exchange service',
      version: '0.1.0',
      description: 'Market, exchange and accounts of a data exchange service. See docs/des.md.',
      routes: [
        ...marketRoutes(context),
        ...billingRoutes(context),
        ...noticeRoutes(context),
        ...exchangeRoutes(context, exchange),
        ...(options.authenticate ? [] : signIn.routes),
      ],
      authenticate: options.authenticate ?? signIn.authenticate,
      userId: ({ merchantId }) => `${merchantId}`,
      keys: await sqlIdempotencyKeys(sql, { clock, log }),
      operatorToken: options.operatorToken,
      hosts: options.hosts,
      origins: options.origins,
      readBody: readJson,
      writeBody: writeJson,
      maxRequests: 2_000,
      deadline: 90_000,
      telemetry,
      clock,
      log,
      health: { database: async () => void (await sql.db.selectFrom('des_categories').select('id').limit(1).execute()) },
    })

    let stopped: Promise<void> | undefined
    return {
      ...stops,
      ...service,
      account,
      accounts: kept && { openAccount: kept.openAccount, deposit: kept.deposit, take: kept.take },
      async start() {
        await exchange.start()
        await jobs.every({ kind: 'des/votes', interval: EVERY.votes })
        await jobs.every({ kind: 'des/evidence', interval: EVERY.evidence })
        await jobs.every({ kind: 'des/retention', interval: EVERY.retention })
        jobs.start()
      },
      deadJobs: (limit) => jobs.dead(limit),
      reviveJob: (id) => jobs.revive(id),
      stop: () =>
        (stopped ??= (async () => {
          await jobs.stop()
          await exchange.stop()
          notifier.close()
          for (const step of undo.reverse()) await step()
        })()),
    }
  }

  async function openDatabase(): Promise<Sql<Database>> {
    if (typeof database === 'object') return database
    const isUrl = database !== undefined && /^postgres(ql)?:\/\//.test(database)
    const sql = isUrl ? openPostgres<Database>({ url: database, pool: 16 }) : await openPglite<Database>({ folder: database })
    undo.push(() => sql.close())
    return sql
  }
}
