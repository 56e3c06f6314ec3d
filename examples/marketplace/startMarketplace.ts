/**
 * A market with a past: an exchange in this process, merchants, products, votes, and a month of trade.
 * @module
 */
import { randomBytes } from 'node:crypto'
import { systemClock, type Clock } from 'sluice-sdk'
import {
  createDatasource,
  createMarketClient,
  createMerchant,
  seedSecret,
  grapheneKey,
  type Datasource,
  type MarketClient,
  type Merchant,
  type NewProduct,
} from 'sluice-sdk/des'
import { createExchangeServer, listenHttp } from 'sluice-sdk/des/server'
import { buildPortal } from './buildPortal.ts'
import { companies, products, questions } from './goods.ts'
import { createPerson, type Person } from './people.ts'

/** A market that runs. */
export interface Marketplace {
  /** Portal and API. */
  readonly url: string
  /** Who may sign in; the first has traded most. */
  readonly people: readonly Person[]
  /** A request of the first, whose answers were paid for. */
  readonly requestId: string
  close(): Promise<void>
}

const DAY = 86_400_000
/** Days that the market has been there. */
const PAST = 30
const GXC = 100_000n

/** Starts it all on one port of loopback. */
export async function startMarketplace({ port = 0 }: { port?: number } = {}): Promise<Marketplace> {
  const undo: (() => unknown)[] = []
  try {
    return await start(port, undo)
  } catch (error) {
    for (const step of undo.reverse()) await step()
    throw error
  }
}

async function start(port: number, undo: (() => unknown)[]): Promise<Marketplace> {
  const clock = pastClock(PAST * DAY)
  const key = grapheneKey(seedSecret('sluice marketplace example'))
  const operatorToken = randomBytes(16).toString('hex')

  // The port comes first: the exchange has to know under which origin its pages are.
  let answer = notYet
  const listener = await listenHttp({ fetch: (request) => answer(request) }, { port })
  undo.push(() => listener.close())
  const baseUrl = listener.url
  const server = await createExchangeServer({
    key,
    percent: 1000,
    operatorToken,
    origin: baseUrl,
    origins: [baseUrl, `http://localhost:${listener.port}`],
    rules: { allowPrivateAddresses: true },
    clock,
  })
  undo.push(() => server.stop())
  const portal = await buildPortal()
  answer = async (request) => portal(request) ?? server.fetch(request)
  await server.start()

  const accounts = server.accounts!
  const people: Person[] = []
  // One after another, so that each has the same account whenever the example runs.
  for (const about of companies) people.push(await createPerson(about, accounts.openAccount))
  const [lake, bridge, meridian, orchard] = people as [Person, Person, Person, Person]
  const markets = new Map(
    people.map(({ account, key }) => [account, createMarketClient({ baseUrl, signIn: { account, key }, clock })]),
  )
  const marketOf = ({ account }: Person): MarketClient => markets.get(account)!

  let deposits = 0
  const deposit = ({ account }: Person, amount: bigint) =>
    accounts.deposit({ account, asset: '1.3.1', amount: amount * GXC, key: `example ${deposits++}` })

  const visitor = createMarketClient({ baseUrl, clock })
  for (const person of people) {
    const { account, key, merchantId, name, representative, website } = person
    await visitor.bindAccount({ account, key, merchantId, serviceUrl: '' })
    await marketOf(person).changeProfile({ merchantName: name, authorizerName: representative, merchantAddress: website })
    await deposit(person, 20n)
  }

  const operator = createMarketClient({ baseUrl, token: operatorToken, clock })
  const categories: number[] = []
  for (const name of ['Inclusive finance 普惠金融', 'Identity 身份', 'Logistics 物流']) {
    categories.push((await operator.createCategory(name)).categoryId)
  }
  const publish = async (person: Person, product: NewProduct): Promise<number> =>
    (await marketOf(person).createProduct(product)).productId!
  const [finance, identity, logistics] = categories as [number, number, number]
  const kyc = await publish(lake, { ...products.kyc, categoryId: identity })
  const credit = await publish(bridge, { ...products.credit, categoryId: finance })
  const loans = await publish(bridge, { ...products.loans, categoryId: finance })
  const phone = await publish(orchard, { ...products.phone, categoryId: identity })
  const address = await publish(meridian, { ...products.address, categoryId: logistics })
  const parcels = await publish(meridian, { ...products.parcels, categoryId: logistics })

  /** Lets members vote: all of them agree, or none does. */
  const decide = async (voteId: number | null, voters: readonly Person[], agree = true): Promise<void> => {
    for (const voter of voters) await marketOf(voter).vote(voteId!, agree)
  }
  await marketOf(lake).inviteMembers(kyc, [bridge.merchantId])
  await decide((await marketOf(orchard).applyToSell(kyc)).voteId, [lake, bridge])
  await marketOf(bridge).inviteMembers(credit, [lake.merchantId])

  const sources = [
    await openSource(bridge, [credit, loans, kyc]),
    await openSource(meridian, [address, parcels]),
    await openSource(orchard, [phone]),
  ]
  undo.push(() => Promise.all(sources.map((source) => source.stop())))

  // Every charge was a real request on its day: the exchange's clock is in the past, and catches up.
  const merchantOf = ({ account, key }: Person): Merchant => createMerchant({ account, key, baseUrl, clock })
  const [buyer, other] = [merchantOf(lake), merchantOf(meridian)]
  const asked = [kyc, credit, parcels, phone, address, credit, loans]
  let requestId = ''
  for (let day = 0; day < PAST; day++) {
    clock.setBack((PAST - day) * DAY - 1)
    for (const { datasource } of sources) await datasource.start()
    if (day === 3)
      await decide((await marketOf(lake).updateProduct(kyc, { price: { amount: 2_500n, assetId: '1.3.1' } })).voteId, [bridge])
    if (day === 9) await decide((await marketOf(meridian).applyToSell(kyc)).voteId, [lake, bridge], false)
    if (day === 12) await deposit(lake, 5n)
    if (day === 16) await marketOf(meridian).applyToSell(kyc) // nobody votes: it ends by its time
    if (day === 20) await deposit(lake, 8n)
    for (let turn = 0; turn < callsOf(day); turn++) {
      const productId = asked[(day + 3 * turn) % asked.length]!
      const result = await buyer.query(productId, questions, { timeout: 8_000 })
      requestId ||= result.requestId
    }
    if (day % 5 === 2) await other.query(kyc, questions, { timeout: 8_000 })
    for (const { datasource } of sources) datasource.stop()
  }

  // Now.
  clock.setBack(0)
  await Promise.all(sources.slice(0, 2).map(({ datasource }) => datasource.start()))
  await marketOf(bridge).updateProduct(kyc, {
    briefDesc: 'Whether a name, an identity number and a portrait belong to one person. Answers within a second.',
    price: { amount: 2_000n, assetId: '1.3.1' },
    input: {
      ...products.kyc.input,
      portrait: { type: 'string', desc: 'Portrait, base64 自拍照', required: true, sample: '6Ieq5ouN54WnYmFzZTY0' },
    },
  })
  await marketOf(meridian).applyToSell(kyc)
  await marketOf(bridge).inviteMembers(credit, [orchard.merchantId])

  return {
    url: `${baseUrl}/`,
    people,
    requestId,
    async close() {
      for (const step of undo.reverse()) await step()
    },
  }

  /** Answers questions about products on a port of its own; offline until its data source is started. */
  async function openSource({ account, key: own }: Person, productIds: readonly number[]): Promise<Source> {
    let serve = notYet
    const serving = await listenHttp({ fetch: (request) => serve(request) })
    const datasource = createDatasource({
      account,
      key: own,
      baseUrl,
      products: productIds.map((productId) => ({ productId, price: 0n })),
      serviceUrl: `${serving.url}/data/request`,
      desPublicKey: key.publicKey,
      answer: (_, { productId }) => (productId === parcels ? { count: 3, last: '2026-01-12' } : { result: true, score: 712 }),
      clock,
    })
    serve = datasource.fetch
    return {
      datasource,
      async stop() {
        datasource.stop()
        await serving.close()
      },
    }
  }
}

interface Source {
  readonly datasource: Datasource
  stop(): Promise<void>
}

/** What a port answers before there is somebody behind it. */
async function notYet(_request: Request): Promise<Response> {
  return new Response(null, { status: 503 })
}

/** A clock that runs as the machine's does, set back by some time. */
function pastClock(back: number): Clock & { setBack(ms: number): void } {
  return {
    now: () => systemClock.now() - back,
    sleep: systemClock.sleep,
    setBack: (ms) => void (back = ms),
  }
}

/** Requests on a day: fewer on every sixth and seventh. */
function callsOf(day: number): number {
  return day % 7 >= 5 ? day % 2 : 2 + ((day * 5) % 4)
}
