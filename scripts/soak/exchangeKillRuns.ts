/**
 * Two exchange servers on one PostgreSQL that are killed at random under load, and the books afterwards.
 * @module
 */
import { spawn } from 'node:child_process'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createInterface } from 'node:readline'
import { sql as statement } from 'kysely'
import { grapheneKey, seedSecret, signTransferParams, toWif, type AccountId } from '../../src/core/crypto/graphene/index.ts'
import { openPostgres } from '../../src/core/sql/index.ts'
import { createMarketClient } from '../../src/des/market.ts'
import { sealData } from '../../src/des/seal/index.ts'
import { createExchangeServer } from '../../src/des/server/index.ts'
import { memoOf, writeHeartbeat, writeJson, writePayload, writeRequest } from '../../src/des/wire/index.ts'
import { startPostgres } from '../../src/testing/postgres.ts'
import type { KillOptions, KillReport } from './killRuns.ts'
import { bundle, mulberry32, pause } from './parts.ts'

const PRICE = 1000n
const MONEY = 10n ** 12n
/** Far beyond what any step of a run takes. */
const PATIENCE = 60_000
const OPERATOR = 'operator-of-kill-runs'

/** Runs merchants and data sources against two servers of one database, and kills servers as the seed says. */
export async function exchangeKillRuns({ runs, seed, onRun }: KillOptions): Promise<KillReport> {
  const random = mulberry32(seed)
  const pick = (below: number): number => Math.floor(random() * below)
  const programs = await bundle('exchangeProcess')
  const program = programs.path('exchangeProcess')
  const postgres = await startPostgres()
  const failures: string[] = []
  let kills = 0
  try {
    for (let run = 0; run < runs; run++) {
      const notes: string[] = []
      const stops: (() => unknown)[] = []
      try {
        kills += await oneRun(program, await postgres.createDatabase(), pick, notes, stops)
        onRun?.(run, notes.join(', '))
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error)
        failures.push(`run ${run + 1} (seed ${seed}: ${notes.join(', ')}): ${reason}`)
        onRun?.(run, `${notes.join(', ')}: FAILED: ${reason}`)
      } finally {
        for (const stop of stops.reverse()) await stop()
      }
    }
    return { runs, kills, failures }
  } finally {
    await postgres.stop()
    await programs.remove()
  }
}

async function oneRun(
  program: string,
  url: string,
  pick: (below: number) => number,
  notes: string[],
  stops: (() => unknown)[],
): Promise<number> {
  const [exchange, buyer, ...sellers] = ['exchange', 'buyer', 'honest', 'empty', 'broken'].map((name) =>
    grapheneKey(seedSecret(`kill ${name}`)),
  )
  const wif = toWif(seedSecret('kill exchange'))

  // The operator books the merchant's money before the servers are there.
  const sql = openPostgres<unknown>({ url, pool: 4 })
  stops.push(() => sql.close())
  const office = await createExchangeServer({ database: sql, key: exchange!, percent: 1000 })
  const accounts = office.accounts!
  const payer = await accounts.openAccount(buyer!.publicKey)
  const payees: AccountId[] = []
  for (const { publicKey } of sellers) payees.push(await accounts.openAccount(publicKey))
  await accounts.deposit({ account: payer, asset: '1.3.1', amount: MONEY, key: 'start' })

  // Data sources that answer, have nothing, or fail; now and then slowly.
  const asked = new Map<string, number>()
  const answer = await sealData(sellers[0]!, buyer!.publicKey, { nonce: 9n }, new TextEncoder().encode('{"result":true}'))
  const service = createServer((request, response) => {
    const pieces: Buffer[] = []
    request
      .on('data', (piece: Buffer) => pieces.push(piece))
      .on('end', () => {
        const kind = Number(request.url!.slice(1))
        const { requestId } = JSON.parse(Buffer.concat(pieces).toString()) as { requestId: string }
        asked.set(`${requestId}/${kind}`, (asked.get(`${requestId}/${kind}`) ?? 0) + 1)
        setTimeout(
          () => {
            if (kind === 1) return response.writeHead(404).end()
            if (kind === 2) return response.writeHead(500).end('broken')
            response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ data: answer, nonce: 9 }))
          },
          pick(20) === 0 ? 1_500 : pick(30),
        )
      })
  })
  await new Promise<void>((resolve) => service.listen(0, '127.0.0.1', resolve))
  stops.push(() => (service.close(), service.closeAllConnections()))
  const { port } = service.address() as AddressInfo

  const servers = [await start(program, url, wif), await start(program, url, wif)]
  stops.push(async () => {
    for (const server of servers) await server.kill()
  })
  const market = (key: typeof exchange, account: AccountId) =>
    createMarketClient({ baseUrl: servers[0]!.url, signIn: { account, key: key! } })
  await market(buyer, payer).bindAccount({ account: payer, key: buyer!, merchantId: 1, serviceUrl: '' })
  for (const [i, account] of payees.entries())
    await market(sellers[i], account).bindAccount({
      account,
      key: sellers[i]!,
      merchantId: 2 + i,
      serviceUrl: `http://127.0.0.1:${port}/${i}`,
    })
  const { categoryId } = await createMarketClient({ baseUrl: servers[0]!.url, token: OPERATOR }).createCategory('kill runs')
  const seller = market(sellers[0], payees[0]!)
  const { productId } = await seller.createProduct({
    productName: 'answers',
    briefDesc: 'in all ways',
    categoryId,
    voteThreshold: 1,
    privacy: false,
    price: { amount: PRICE, assetId: '1.3.1' },
    input: { name: { type: 'string' } },
    output: { result: { type: 'boolean' } },
  })
  await seller.inviteMembers(productId!, [3, 4])
  for (const [i, account] of payees.entries()) {
    const beat = writeHeartbeat({ account, products: [productId!], timestamp: Date.now() + 1500 }, sellers[i]!)
    await post(servers[0]!.url, '/api/datasource/heartbeat', JSON.stringify(beat))
  }

  // Merchants that ask both servers, and ask again when they don't hear.
  const payload = writePayload({ params: { name: 'Alice' }, timestamp: Date.now() })
  const sealed = await Promise.all(sellers.map((key) => sealData(buyer!, key.publicKey, { nonce: 7n }, payload)))
  const expiration = Math.floor(Date.now() / 1000) + 1000
  const made = new Set<string>()
  let number = 0
  let buying = true
  const buy = async (): Promise<void> => {
    while (buying) {
      const items = payees.map((to, i) => ({
        params: sealed[i]!,
        nonce: 7n,
        requestParams: signTransferParams(
          {
            from: payer,
            to,
            proxyAccount: office.account,
            percent: 1000,
            amount: { amount: PRICE, assetId: '1.3.1' },
            memo: `${memoOf(payload)} ${number++}`,
            expiration,
          },
          buyer!,
        ),
      }))
      const body = writeJson(writeRequest(items))
      for (;;) {
        const id = await post(servers[pick(2)]!.url, `/api/request/create/${productId}`, body).then(
          (text) => (JSON.parse(text) as { request_id: string }).request_id,
          () => undefined,
        )
        if (id !== undefined) {
          made.add(id)
          break
        }
        if (!buying) return
        await pause(50)
      }
    }
  }
  const buyers = Array.from({ length: 8 }, buy)
  let kills = 0
  for (const rounds = 1 + pick(3); kills < rounds; kills++) {
    const ms = 200 + pick(1_200)
    await pause(ms)
    const whom = pick(2)
    notes.push(`${'AB'[whom]} after ${ms} ms`)
    await servers[whom]!.kill()
    servers[whom] = await start(program, url, wif)
  }
  await pause(300)
  buying = false
  await Promise.all(buyers)

  for (const began = Date.now(); ; await pause(200)) {
    const { rows } = await statement<{ count: bigint }>`select count(*) from des_items
      where state in ('HELD', 'FORWARDED', 'PENDING_SETTLEMENT')`.execute(sql.db)
    if (rows[0]!.count === 0n) break
    if (Date.now() - began > PATIENCE) throw new Error(`${rows[0]!.count} items have no end`)
  }
  await checkBooks(sql, payer, made, notes)
  return kills
}

/** Every authorisation is charged once or never, every hold has ended, and no money has appeared or gone. */
async function checkBooks(
  sql: ReturnType<typeof openPostgres<unknown>>,
  payer: AccountId,
  made: ReadonlySet<string>,
  notes: string[],
): Promise<void> {
  const one = async <T>(query: ReturnType<typeof statement<T>>): Promise<T> => (await query.execute(sql.db)).rows[0]!
  const { paid, items, requests, halves } = await one(statement<{
    paid: bigint
    items: bigint
    requests: bigint
    halves: bigint
  }>`select
    (select count(*) from des_items where state = 'SUCCESS') as paid, (select count(*) from des_items) as items,
    (select count(*) from des_requests) as requests,
    (select count(*) from des_requests r where total <> (select count(*) from des_items i where i.request = r.id)) as halves`)
  notes.push(`${requests} requests, ${paid} of ${items} items paid`)
  if (halves !== 0n) throw new Error(`${halves} requests have lost items`)
  if (requests < BigInt(made.size)) throw new Error(`${made.size} requests were confirmed, ${requests} are there`)
  const { held, wrong } = await one(statement<{ held: bigint; wrong: bigint }>`select
    (select count(*) from ledger_holds where state = 'held') as held,
    (select count(*) from ledger_holds h join des_items i on h.key = 'des/item/' || i.digest
      where (h.state = 'captured') <> (i.state = 'SUCCESS')) as wrong`)
  if (held !== 0n) throw new Error(`${held} holds have no end`)
  if (wrong !== 0n) throw new Error(`${wrong} holds say something else than their items`)
  const { rows } = await statement<{ owner: string; posted: string }>`select owner, posted from ledger_accounts`.execute(sql.db)
  const balance = new Map(rows.map(({ owner, posted }) => [owner, BigInt(posted)]))
  const sum = [...balance.values()].reduce((total, posted) => total + posted, 0n)
  if (sum !== 0n) throw new Error(`the books sum to ${sum}`)
  if (balance.get(`des/${payer}`) !== MONEY - paid * PRICE)
    throw new Error(`the payer has ${balance.get(`des/${payer}`)} after ${paid} payments`)
  const { proofs } = await one(statement<{ proofs: bigint }>`select count(*) as proofs from des_evidence`)
  if (proofs !== paid) throw new Error(`${paid} items are paid, ${proofs} have evidence`)
}

async function post(url: string, path: string, body: string): Promise<string> {
  const answer = await fetch(url + path, {
    method: 'POST',
    body,
    headers: { 'content-type': 'application/json' },
    signal: AbortSignal.timeout(5_000),
  })
  const text = await answer.text()
  if (answer.status !== 200) throw new Error(`${path}: ${answer.status} ${text}`)
  return text
}

// --- processes ---

interface Server {
  readonly url: string
  kill(): Promise<void>
}

async function start(program: string, database: string, wif: string): Promise<Server> {
  const child = spawn(process.execPath, [program, database, wif], { stdio: ['pipe', 'pipe', 'pipe'] })
  let errors = ''
  child.stderr.on('data', (piece: Buffer) => (errors = (errors + piece.toString()).slice(-1500)))
  const exited = new Promise<void>((resolve) => child.once('close', () => resolve()))
  const first = createInterface({ input: child.stdout })[Symbol.asyncIterator]().next()
  const line = await Promise.race([first, exited.then(() => undefined), pause(PATIENCE).then(() => undefined)])
  if (!line || line.done) throw new Error(`a server did not start: ${errors}`)
  return {
    url: line.value,
    kill: async () => {
      child.kill('SIGKILL')
      await exited
    },
  }
}
