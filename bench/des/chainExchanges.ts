/**
 * Whole exchanges that are settled on a chain: a merchant asks, the exchange holds, forwards, sends transfers by the hundred,
 * hands out what is final, and anchors evidence. The exchange is a process of its own; the node mines a block a second.
 * @module
 */
import { parseEther, type TransactionRequest, type Wallet } from 'ethers'
import { evidenceInterface } from '../../src/contracts/evidence.ts'
import { encodeTransfers, proxyTransferInterface } from '../../src/contracts/proxyTransfer.ts'
import { toHex } from '../../src/core/bytes.ts'
import {
  grapheneKey,
  seedSecret,
  signTransferParams,
  type AccountId,
  type SignedTransferParams,
} from '../../src/core/crypto/graphene/index.ts'
import { createMarketClient } from '../../src/des/index.ts'
import { sealData } from '../../src/des/seal/index.ts'
import { memoOf, sdkDialect, writeHeartbeat, writeJson, writePayload, writeRequest } from '../../src/des/wire/index.ts'
import { openPostgres } from '../../src/core/sql/index.ts'
import type { Database } from '../../src/des/server/database.ts'
import { startDevnet, type Devnet, type DevnetExchange } from '../../src/testing/devnet.ts'
import { startPostgres } from '../../src/testing/postgres.ts'
import { median, type Row } from '../lib/report.ts'
import type { ChainExchangeJob } from './chainExchangeProcess.ts'
import { createCaller, run, serveAnswer, start } from './load.ts'

const ROUNDS = 3
/** Exchanges of a round, asked by so many merchants of so many data sources. */
const EXCHANGES = 6_000
const MERCHANTS = 4
const SOURCES = 4
/** Requests and collected results under way at once. */
const AT_ONCE = 48
/** Seconds between blocks, and how deep one must lie. */
const BLOCK_TIME = 1
const CONFIRMATIONS = 3
const PRICE = 1000n
const NAME = 'bench chain exchange'
const TOKEN = 'operator-of-the-bench'
const CID = 'QmbTuAu2zM53Rj8rk8J2o7mCzHJr6vf8WdjYyiq5SNaDBF'

/** Measures the wanted cases. */
export async function chainExchanges(say: (line: string) => void): Promise<readonly Row[]> {
  const merchants = Array.from({ length: MERCHANTS }, (_, i) => seedSecret(`bench chain merchant ${i}`))
  const sources = Array.from({ length: SOURCES }, (_, i) => seedSecret(`bench chain source ${i}`))
  const keys = [seedSecret(NAME), ...merchants, ...sources].map(grapheneKey)
  const answer = await sealData(keys.at(-1)!, keys[1]!.publicKey, { nonce: 9n }, new TextEncoder().encode('{"result":true}'))
  const stops: (() => unknown)[] = []
  try {
    const devnet = await startDevnet()
    stops.push(() => devnet.stop())
    const contracts = await devnet.deployExchange({
      accounts: [seedSecret(NAME), ...merchants, ...sources].map((secret, i) => ({
        secret,
        deposit: i > 0 && i <= MERCHANTS ? parseEther('1') : 0n,
      })),
    })
    await devnet.provider.send('anvil_setBalance', [
      contracts.accounts[0]!.wallet.address,
      `0x${parseEther('1000000').toString(16)}`,
    ])
    const node = await nodeAlone(devnet)
    say(
      `  exchange-chain: the node alone takes ${Math.round(node.batched)} transfers/s by the hundred, ${Math.round(
        node.single,
      )} /s one by one`,
    )
    const postgres = await startPostgres()
    stops.push(() => postgres.stop())
    const source = await serveAnswer(JSON.stringify({ data: answer, nonce: 9 }))
    stops.push(() => source.close())
    await devnet.provider.send('evm_setAutomine', [false])
    await devnet.provider.send('anvil_setIntervalMining', [BLOCK_TIME])
    const database = await postgres.createDatabase()
    const { proxyTransfer, evidence, fromBlock } = contracts
    const job: ChainExchangeJob = {
      ...{ rpc: devnet.url, database, proxyTransfer, evidence, fromBlock, confirmations: CONFIRMATIONS },
      ...{ name: NAME, operatorToken: TOKEN },
    }
    const server = start('chainExchangeProcess.ts', JSON.stringify(job))
    stops.push(() => server.stop())
    const { url, exchange } = (await server.next()) as { readonly url: string; readonly exchange: AccountId }
    const caller = createCaller(url, AT_ONCE)
    stops.push(() => caller.close())
    const productId = await openMarket(url, caller, contracts, keys, source.url)

    const payload = writePayload({ params: { name: 'Alice' }, timestamp: Date.now() })
    const sealed = await sealData(keys[1]!, keys.at(-1)!.publicKey, { nonce: 7n }, payload)
    let made = 0
    const soon = (await devnet.time()) + 3600
    const prepare = (count: number): string[] =>
      Array.from({ length: count }, () => {
        const [from, to] = [1 + (made % MERCHANTS), 1 + MERCHANTS + (made % SOURCES)]
        const params = {
          from: contracts.accounts[from]!.account,
          to: contracts.accounts[to]!.account,
          proxyAccount: exchange,
          percent: 1000,
          amount: { amount: PRICE, assetId: '1.3.1' as const },
          memo: memoOf(payload),
          expiration: soon + made++,
        }
        return writeJson(
          writeRequest([{ params: sealed, nonce: 7n, requestParams: signTransferParams(params, keys[from]!) }], sdkDialect),
        )
      })
    const sql = openPostgres<Database>({ url: database, pool: 1 })
    stops.push(() => sql.close())
    const figures = { whole: [] as number[], cpu: [] as number[], gas: [] as number[] }
    for (let round = -1; round < ROUNDS; round++) {
      const count = round < 0 ? EXCHANGES / 6 : EXCHANGES
      const bodies = prepare(count)
      const { cpu: cpuBefore } = await server.used()
      const block = await devnet.provider.getBlockNumber()
      const began = performance.now()
      // Asked as fast as they are taken, and collected in the same order.
      const asked: string[] = []
      const asking = run(count, AT_ONCE / 2, async (i) => {
        const { status, text } = await caller.call('POST', `/api/request/create/${productId}`, bodies[i])
        if (status !== 200) throw new Error(`create: ${status} ${text}`)
        asked.push((JSON.parse(text) as { request_id: string }).request_id)
      })
      let ended = 0
      const collecting = run(count, AT_ONCE / 2, async (i) => {
        while (asked.length <= i) await new Promise((resolve) => setTimeout(resolve, 20))
        for (let tries = 0; ; tries++) {
          const { status, text } = await caller.call('GET', `/api/request/${asked[i]}?wait=8000`)
          if (text.includes('"SUCCESS"')) break
          if (tries > 10 || !text.includes('"IN_PROGRESS"')) throw new Error(`result: ${status} ${text}`)
        }
        ended++
      })
      await Promise.all([asking, collecting])
      const whole = ended / ((performance.now() - began) / 1000)
      const cpu = count / ((await server.used()).cpu - cpuBefore)
      await untilAnchored(sql)
      const used = await gasOf(devnet, contracts.accounts[0]!.wallet.address, block + 1)
      if (round < 0) continue // warms the compilers
      figures.whole.push(whole)
      figures.cpu.push(cpu)
      figures.gas.push(used.gas / count)
      say(
        `  exchange-chain round ${round + 1}: ${whole.toFixed(0)} /s, ${cpu.toFixed(0)} per CPU second of the exchange, ${
          used.transactions
        } transactions, ${Math.round(used.gas / count)} gas each`,
      )
    }
    return [
      {
        bench: 'des',
        case: 'exchange-chain',
        value: median(figures.whole),
        unit: 'exchanges/s',
        baseline: { name: 'the node alone, a transaction for each transfer', value: node.single },
        limit: { name: 'the node alone, a transaction for a hundred', value: node.batched },
      },
      {
        bench: 'des',
        case: 'exchange-chain-cpu',
        value: median(figures.cpu),
        unit: 'exchanges/CPU s',
        baseline: { name: 'the node alone, a transaction for each transfer', value: node.single },
        limit: null,
      },
      {
        bench: 'des',
        case: 'exchange-chain-gas',
        value: median(figures.gas),
        unit: 'gas/op',
        baseline: { name: 'a transaction for each transfer and each anchor', value: node.singleGas },
        limit: { name: 'a hundred transfers in a transaction', value: node.batchedGas },
      },
    ]
  } finally {
    for (const stop of stops.reverse()) await stop()
  }
}

/** Binds accounts, makes a product that all sources sell, and puts them online at one address. @returns the product's number. */
async function openMarket(
  url: string,
  caller: ReturnType<typeof createCaller>,
  { accounts }: DevnetExchange,
  keys: readonly ReturnType<typeof grapheneKey>[],
  sourceUrl: string,
): Promise<number> {
  const operator = createMarketClient({ baseUrl: url, token: TOKEN })
  const markets = []
  for (let i = 1; i < accounts.length; i++) {
    const signIn = { account: accounts[i]!.account, key: keys[i]! }
    const market = createMarketClient({ baseUrl: url, signIn })
    // The exchange knows an account once its block is deep enough.
    for (let tries = 0; ; tries++) {
      try {
        await market.bindAccount({ ...signIn, merchantId: i, serviceUrl: '' })
        break
      } catch (error) {
        if (tries > 100) throw error
        await new Promise((resolve) => setTimeout(resolve, 200))
      }
    }
    markets.push(market)
  }
  const { categoryId } = await operator.createCategory('bench')
  const issuer = markets[MERCHANTS]!
  const { productId } = await issuer.createProduct({
    productName: 'KYC',
    briefDesc: 'whether a name and a number belong together',
    categoryId,
    voteThreshold: 0.5,
    price: { amount: PRICE, assetId: '1.3.1' },
    privacy: false,
    input: { name: { type: 'string', desc: 'name', required: true } },
    output: { result: { type: 'boolean', desc: 'whether they do' } },
  })
  await issuer.inviteMembers(
    productId!,
    Array.from({ length: SOURCES - 1 }, (_, i) => MERCHANTS + 2 + i),
  )
  for (let i = 1 + MERCHANTS; i < accounts.length; i++) {
    const { account } = accounts[i]!
    const beat = writeHeartbeat({ account, products: [productId!], timestamp: Date.now(), queryUrl: sourceUrl }, keys[i]!)
    const { status, text } = await caller.call('POST', '/api/datasource/heartbeat', writeJson(beat))
    if (status !== 200) throw new Error(`heartbeat: ${status} ${text}`)
  }
  return productId!
}

/** Waits until all evidence is anchored. */
async function untilAnchored(sql: ReturnType<typeof openPostgres<Database>>): Promise<void> {
  for (;;) {
    const loose = await sql.db.selectFrom('des_evidence').select('item').where('batch', 'is', null).limit(1).execute()
    const open = await sql.db.selectFrom('des_evidence_batches').select('id').where('anchored_at', 'is', null).limit(1).execute()
    if (loose.length + open.length === 0) return
    await new Promise((resolve) => setTimeout(resolve, 500))
  }
}

/** What an account's transactions have used from a block on. */
async function gasOf(
  devnet: Devnet,
  address: string,
  from: number,
): Promise<{ readonly gas: number; readonly transactions: number }> {
  let [gas, transactions] = [0, 0]
  for (let number = from; number <= (await devnet.provider.getBlockNumber()); number++) {
    const receipts = (await devnet.provider.send('eth_getBlockReceipts', [`0x${number.toString(16)}`])) as {
      from: string
      status: string
      gasUsed: string
    }[]
    for (const receipt of receipts.filter((each) => each.from === address.toLowerCase())) {
      if (receipt.status !== '0x1') throw new Error('a transaction of the exchange has reverted')
      gas += Number(receipt.gasUsed)
      transactions++
    }
  }
  return { gas, transactions }
}

/** What the node itself takes: transfers one by one and by the hundred, handed over signed and mined at once. */
async function nodeAlone(devnet: Devnet) {
  const contracts = await devnet.deployExchange({
    accounts: [seedSecret(NAME), ...[0, 1].map((i) => seedSecret(`bench node ${i}`))].map((secret, i) => ({
      secret,
      deposit: i === 1 ? parseEther('1') : 0n,
    })),
  })
  const { wallet } = contracts.accounts[0]!
  const payer = grapheneKey(seedSecret('bench node 0'))
  const expiration = (await devnet.time()) + 3600
  let made = 0
  const transfers = (count: number): { params: SignedTransferParams; proxyMemo: string }[] =>
    Array.from({ length: count }, () => {
      const params = {
        ...({ from: '1.2.2', to: '1.2.3', proxyAccount: '1.2.1', percent: 1000, memo: 'bench' } as const),
        amount: { amount: PRICE, assetId: '1.3.1' as const },
        expiration: expiration + made++,
      }
      return { params: signTransferParams(params, payer), proxyMemo: CID }
    })
  const calls = (count: number, each: number): TransactionRequest[] =>
    Array.from({ length: count }, () => ({
      to: contracts.proxyTransfer,
      data: proxyTransferInterface.encodeFunctionData('proxyTransfers', [encodeTransfers(transfers(each))]),
      gasLimit: 80_000 + 60_000 * each,
    }))
  await takes(devnet, wallet, calls(3, 100))
  const one = await takes(devnet, wallet, calls(400, 1))
  const many = await takes(devnet, wallet, calls(20, 100))
  const anchors = await takes(
    devnet,
    wallet,
    Array.from({ length: 20 }, (_, i) => ({
      to: contracts.evidence,
      data: evidenceInterface.encodeFunctionData('anchor', [toHex(seedSecret(`root ${i}`)), 1000]),
      gasLimit: 200_000,
    })),
  )
  return {
    single: 400 / one.seconds,
    batched: 2000 / many.seconds,
    singleGas: one.gas / 400 + anchors.gas / 20,
    batchedGas: many.gas / 2000 + anchors.gas / 20_000,
  }
}

/** Seconds and gas that the node takes for transactions, which are signed before. */
async function takes(devnet: Devnet, wallet: Wallet, calls: readonly TransactionRequest[]) {
  const { provider } = devnet
  const nonce = await provider.getTransactionCount(wallet.address)
  const raws: string[] = []
  for (const [i, call] of calls.entries()) {
    raws.push(
      await wallet.signTransaction({
        ...call,
        nonce: nonce + i,
        chainId: devnet.chainId,
        type: 2,
        maxFeePerGas: 10n ** 11n,
        maxPriorityFeePerGas: 0n,
      }),
    )
  }
  const from = (await provider.getBlockNumber()) + 1
  await devnet.setAutomine(false)
  const began = performance.now()
  await Promise.all(raws.map((raw) => provider.send('eth_sendRawTransaction', [raw])))
  while ((await provider.getTransactionCount(wallet.address)) < nonce + calls.length) await devnet.mine()
  const seconds = (performance.now() - began) / 1000
  await devnet.setAutomine(true)
  return { seconds, gas: (await gasOf(devnet, wallet.address, from)).gas }
}
