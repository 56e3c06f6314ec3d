/**
 * A data exchange: a chain with its contracts, one exchange, three data sources (one slow, one that lies), a merchant. They
 * publish a product and change it by a vote; the merchant buys answers, looks at its bill, and proves who said what.
 *
 *     npm run example:exchange
 * @module
 */
import { formatEther, parseEther } from 'ethers'
import {
  createDatasource,
  createMarketClient,
  createMerchant,
  grapheneKey,
  seedSecret,
  verifyEvidence,
  type AccountId,
  type Datasource,
  type EvidenceItem,
  type DatasourceOptions,
  type GrapheneKey,
} from 'sluice-sdk/des'
import { createExchangeServer, listenHttp, type HttpListener } from 'sluice-sdk/des/server'
import { evidenceContract } from 'sluice-sdk/contracts'
import { isSluiceError } from 'sluice-sdk'
import { startDevnet } from 'sluice-sdk/testing'
import { openTerminal } from '../lib/terminal.ts'

const { heading, line, check, fail, table } = openTerminal()
const eth = (wei: bigint): string => `${formatEther(wei)} ETH`
const OPERATOR = 'operator-of-the-example'
const ASSET = '1.3.1' // ETH
const PRICE = parseEther('0.001')
const started: (() => unknown)[] = []

interface Person {
  readonly name: string
  readonly account: AccountId
  readonly key: GrapheneKey
  readonly merchantId: number
  readonly market: ReturnType<typeof createMarketClient>
}

/** Waits for something that comes by itself. */
async function until(holds: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; !(await holds()); tries++) {
    if (tries > 300) throw new Error('it did not come')
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

try {
  heading('A chain, and an exchange on it')
  const devnet = await startDevnet()
  started.push(() => devnet.stop())
  const names = ['exchange', 'Ada', 'Ben', 'Cleo', 'Dora'] as const
  const keys = names.map((name) => grapheneKey(seedSecret(`example ${name}`)))
  const contracts = await devnet.deployExchange({
    accounts: names.map((name) => ({ secret: seedSecret(`example ${name}`), deposit: name === 'Dora' ? parseEther('1') : 0n })),
  })
  line('chain', `${devnet.url}, ProxyTransfer at ${contracts.proxyTransfer}`)
  const server = await createExchangeServer({
    key: keys[0]!,
    percent: 1000,
    chain: {
      signer: contracts.accounts[0]!.wallet,
      proxyTransfer: contracts.proxyTransfer,
      evidence: contracts.evidence,
      fromBlock: contracts.fromBlock,
      confirmations: 1,
    },
    operatorToken: OPERATOR,
    rules: { allowPrivateAddresses: true, answerTimeout: 1_500, decimals: 18 },
  })
  started.push(() => server.stop())
  await server.start()
  const listener = await listenHttp(server)
  started.push(() => listener.close())
  line('exchange', `${listener.url}, account ${server.account}, keeps 10 %`)

  // Everybody binds its account of the chain. A data source says where it is asked.
  const services = new Map<string, HttpListener>()
  const sources = new Map<string, Datasource>()
  const people: Person[] = []
  for (const [i, name] of names.entries()) {
    if (i === 0) continue
    const serving = name === 'Dora' ? undefined : await listenHttp({ fetch: (request) => sources.get(name)!.fetch(request) })
    if (serving) services.set(name, serving)
    const { account } = contracts.accounts[i]!
    const signIn = { account, key: keys[i]! }
    const market = createMarketClient({ baseUrl: listener.url, signIn })
    const binding = { ...signIn, merchantId: i, serviceUrl: serving ? `${serving.url}/data/request` : '' }
    // The exchange knows an account once the block in which it was opened is deep enough.
    await until(() =>
      market.bindAccount(binding).then(
        () => true,
        (error: unknown) => {
          if (!isSluiceError(error, 'ACCOUNT_NOT_FOUND')) throw error
          return false
        },
      ),
    )
    people.push({ name, account, key: keys[i]!, merchantId: i, market })
  }
  started.push(...[...services.values()].map((serving) => () => serving.close()))
  const [ada, ben, cleo, dora] = people as [Person, Person, Person, Person]

  heading('A product, and a vote')
  const operator = createMarketClient({ baseUrl: listener.url, token: OPERATOR })
  const { categoryId } = await operator.createCategory('普惠金融')
  const { productId } = await ada.market.createProduct({
    productName: 'KYC认证',
    briefDesc: 'Whether a name and an identity number belong together',
    categoryId,
    voteThreshold: 0.7,
    price: { amount: 2n * PRICE, assetId: ASSET },
    privacy: false,
    input: {
      name: { type: 'string', desc: '姓名', required: true, sample: '张三' },
      idcard: { type: 'string', desc: '身份证号', required: true, sample: '330102128901016666' },
    },
    output: { result: { type: 'boolean', desc: '是否匹配', sample: true } },
  })
  if (productId === undefined) throw new Error('the exchange did not tell the number of the product')
  await ada.market.inviteMembers(productId, [ben.merchantId, cleo.merchantId])
  line('published', `product ${productId} by Ada, who is alone and so invites Ben and Cleo by her own vote`)
  const { voteId } = await ada.market.updateProduct(productId, { price: { amount: PRICE, assetId: ASSET } })
  line('proposed', `Ada wants to sell for ${eth(PRICE)} instead of ${eth(2n * PRICE)}; 70 % of three members are all three`)
  await ben.market.vote(voteId!, true)
  line('vote', `Ben agrees: ${(await ben.market.voteDetails(voteId!)).status}`)
  await cleo.market.vote(voteId!, true)
  line('vote', `Cleo agrees: ${(await cleo.market.voteDetails(voteId!)).status}`)

  heading('Three data sources')
  const register = new Map([['330102128901016666', '张三']])
  const answers: Readonly<Record<string, DatasourceOptions['answer']>> = {
    Ada: ({ name, idcard }) => ({ result: register.get(idcard as string) === name }),
    // Slower than the exchange waits.
    Ben: () => new Promise((resolve) => setTimeout(() => resolve({ result: true }), 4_000).unref()),
    // Never looks: says no to everything.
    Cleo: () => ({ result: false }),
  }
  for (const { name, account, key } of [ada, ben, cleo]) {
    const source = createDatasource({
      account,
      key,
      baseUrl: listener.url,
      desPublicKey: keys[0]!.publicKey,
      serviceUrl: `${services.get(name)!.url}/data/request`,
      products: [{ productId, price: PRICE }],
      answer: answers[name]!,
    })
    sources.set(name, source)
    await source.start()
    started.push(() => source.stop())
  }
  line('online', 'Ada (looks it up), Ben (too slow), Cleo (lies)')

  heading('Dora buys')
  const merchant = createMerchant({ account: dora.account, key: dora.key, baseUrl: listener.url })
  const began = performance.now()
  const bought = await merchant.query(productId, { name: '张三', idcard: '330102128901016666' }, { maxSpend: 3n * PRICE })
  line('answers', `${bought.datasources.length} in ${(performance.now() - began).toFixed(0)} ms, for ${eth(bought.spent)}`)
  const nameOf = (account: string): string => people.find((person) => person.account === account)?.name ?? account
  table(
    ['data source', 'status', 'answer', 'transfer'],
    bought.datasources.map(({ datasource, status, data, txid, comment }) => [
      nameOf(datasource),
      status,
      data === undefined ? comment ?? '' : JSON.stringify(data),
      txid?.slice(0, 12) ?? '',
    ]),
  )
  const paid = bought.datasources.filter(({ status }) => status === 'SUCCESS')
  if (paid.length === 2 && bought.spent === 2n * PRICE) check('Who answered is paid, who did not is not')
  else fail('not what was expected')

  heading('The bill')
  const today = new Date(Date.now() + 8 * 3_600_000).toISOString().slice(0, 10)
  for (const { productName, transferCount, unitPrice, consumeAmount } of await dora.market.monthBill(today))
    line('bill', `${productName}: ${transferCount} x ${unitPrice} = ${consumeAmount}`)

  heading('Who said what')
  line('evidence', 'the exchange writes a digest of every answer to the chain, many under one root')
  let evidence: readonly EvidenceItem[] = []
  await until(async () => {
    evidence = await merchant.evidence(bought.requestId)
    return evidence.length === 2 && evidence.every(({ anchor }) => anchor?.txid !== undefined)
  })
  const contract = evidenceContract(contracts.evidence, devnet.provider)
  for (const item of evidence) {
    const { payee, cid, digest, anchor } = item
    const { root, size, index, proof, txid } = anchor!
    const at = await contract.verify(
      contracts.accounts[0]!.wallet.address,
      `0x${root}`,
      size,
      index,
      `0x${digest}`,
      (proof.match(/.{64}/g) ?? []).map((hash) => `0x${hash}`),
    )
    const holds = verifyEvidence(item) && at > 0n
    ;(holds ? check : fail)(
      `${nameOf(payee)} gave ${cid.slice(0, 16)}…, which the chain has under ${root.slice(0, 12)}… in ${txid!.slice(0, 12)}…`,
    )
  }
  const lie = { ...evidence[1]!, cid: evidence[0]!.cid }
  ;(verifyEvidence(lie) ? fail : check)('Nobody can say later that another answer was given')
} finally {
  for (const stop of started.reverse()) await stop()
}
