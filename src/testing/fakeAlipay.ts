import { createSign, createVerify, generateKeyPairSync, randomInt } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type AsyncCloseable, stops } from '../core/dispose.ts'

/** What a {@link FakeAlipay} does wrong. */
export type AlipayFault =
  /** The answer is signed by another key than Alipay's. */
  | 'forged'
  /** The answer was changed after it was signed. */
  | 'altered'
  /** There is no signature. */
  | 'unsigned'
  /** A well-signed answer about another trade. */
  | 'other-trade'
  /** A well-signed `20000`: Alipay can't say now, which is neither yes nor no. */
  | 'busy'
  /** A page of HTML with status 502. */
  | 'bad-gateway'
  /** The connection is closed. */
  | 'cut'
  /** No answer ever. */
  | 'silent'

/** Alipay's open platform as far as merchants see it, in this process. */
export interface FakeAlipay extends AsyncCloseable {
  /** Where merchants send their requests: `gateway.do`. */
  readonly url: string
  readonly appId: string
  /** PEM: what the merchant signs its requests with (RSA2). */
  readonly merchantPrivateKey: string
  /** PEM: what the merchant checks answers with. */
  readonly alipayPublicKey: string
  /** Every request that was well signed, by its parameters. */
  readonly requests: readonly Readonly<Record<string, string>>[]
  /**
   * A customer pays a merchant's order.
   * @param status of the trade. @default TRADE_SUCCESS
   * @returns Alipay's number of the trade.
   */
  pay(outTradeNo: string, fen: bigint, status?: string): string
  /** Changes a trade: refunded and closed, finished for good. */
  setStatus(tradeNo: string, status: string): void
  /** Sets what goes wrong with answers from now on; nothing without an argument. */
  fault(fault?: AlipayFault): void
  /** Ends it. */
  stop(): Promise<void>
}

interface Trade {
  readonly tradeNo: string
  readonly outTradeNo: string
  readonly fen: bigint
  status: string
}

const METHOD = 'alipay.trade.query'
const NODE = 'alipay_trade_query_response'

/**
 * Starts a stand-in for Alipay: it checks signatures of requests, and signs its answers, as the real one does (gateway
 * protocol 1.0, `RSA2`).
 */
export async function startFakeAlipay(): Promise<FakeAlipay> {
  const appId = String(randomInt(2 ** 40)).padStart(16, '2021')
  // Made once: a pair takes longer than a test.
  const { merchant, alipay, stranger } = (keys ??= { merchant: rsaKeys(), alipay: rsaKeys(), stranger: rsaKeys() })
  const trades = new Map<string, Trade>()
  const requests: Record<string, string>[] = []
  let current: AlipayFault | undefined

  /** The answer to a request: the text that is signed, under its name. */
  const answer = (params: Record<string, string>): string => {
    if (!isSignedBy(merchant.publicKey, params)) return failed('40002', 'Invalid Arguments', 'isv.invalid-signature')
    requests.push(params)
    if (params['app_id'] !== appId) return failed('40002', 'Invalid Arguments', 'isv.invalid-app-id')
    if (params['method'] !== METHOD) return failed('40002', 'Invalid Arguments', 'isv.invalid-method')
    for (const [name, value] of [['charset', 'utf-8'], ['format', 'JSON'], ['version', '1.0'], ['sign_type', 'RSA2']] as const) {
      if (params[name]?.toLowerCase() !== value.toLowerCase()) return failed('40002', 'Invalid Arguments', `isv.invalid-${name}`)
    }
    if (!/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/.test(params['timestamp'] ?? '')) return failed('40002', 'Invalid Arguments', 'isv.invalid-timestamp')
    if (current === 'busy') return failed('20000', 'Service Currently Unavailable', 'isp.unknow-error')
    const asked = JSON.parse(params['biz_content'] ?? '{}') as { trade_no?: string; out_trade_no?: string }
    const found = trades.get(asked.trade_no ?? '') ?? [...trades.values()].find(({ outTradeNo }) => outTradeNo === asked.out_trade_no)
    const trade = current === 'other-trade' ? [...trades.values()].find((other) => other !== found) : found
    if (!trade) return failed('40004', 'Business Failed', 'ACQ.TRADE_NOT_EXIST')
    return text({
      code: '10000',
      msg: 'Success',
      // What a reader trips over that looks for the first brace, or decodes before it checks.
      buyer_logon_id: '159****5620',
      subject: 'data } ","sign":"x" \\ 量',
      out_trade_no: trade.outTradeNo,
      total_amount: yuan(trade.fen),
      trade_no: trade.tradeNo,
      trade_status: trade.status,
    })
  }

  const handle = async (incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = []
    for await (const chunk of incoming) chunks.push(chunk as Buffer)
    const query = new URL(incoming.url ?? '/', 'http://alipay').searchParams
    const params = Object.fromEntries([...query, ...new URLSearchParams(Buffer.concat(chunks).toString())])
    if (current === 'silent') return
    if (current === 'cut') return void outgoing.destroy()
    if (current === 'bad-gateway') return void outgoing.writeHead(502, { 'content-type': 'text/html' }).end('<html>502 Bad Gateway</html>')
    const signed = answer(params)
    const signature = createSign('RSA-SHA256').update(signed).sign((current === 'forged' ? stranger : alipay).privateKey, 'base64')
    const shown = current === 'altered' ? signed.replace(/"total_amount":"\d/, '"total_amount":"9') : signed
    const sign = current === 'unsigned' ? '' : `,"sign":"${signature}"`
    outgoing.writeHead(200, { 'content-type': 'text/html;charset=utf-8' }).end(`{"${NODE}":${shown}${sign}}`)
  }

  const server = createServer((incoming, outgoing) => {
    handle(incoming, outgoing).catch(() => outgoing.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))

  return {
    ...stops,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/gateway.do`,
    appId,
    merchantPrivateKey: merchant.privateKey,
    alipayPublicKey: alipay.publicKey,
    requests,
    pay: (outTradeNo, fen, status = 'TRADE_SUCCESS') => {
      if (!/^[0-9A-Za-z_]{1,64}$/.test(outTradeNo)) throw new Error(`Alipay takes no out_trade_no of "${outTradeNo}"`)
      if (fen < 1n || fen > 10_000_000_000n) throw new Error(`Alipay takes no payment of ${fen} fen`)
      const tradeNo = `2026010122001${String(1_000_000_000_000_000 + trades.size).slice(1)}`
      trades.set(tradeNo, { tradeNo, outTradeNo, fen, status })
      return tradeNo
    },
    setStatus: (tradeNo, status) => {
      trades.get(tradeNo)!.status = status
    },
    fault: (fault) => {
      current = fault
    },
    stop: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

interface RsaKeys {
  readonly publicKey: string
  readonly privateKey: string
}

let keys: { readonly merchant: RsaKeys; readonly alipay: RsaKeys; readonly stranger: RsaKeys } | undefined

function rsaKeys(): RsaKeys {
  return generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  })
}

/** Every parameter but the signature itself, sorted, joined as in a query without escapes. */
function isSignedBy(publicKey: string, { sign = '', ...params }: Record<string, string>): boolean {
  const content = Object.keys(params)
    .sort()
    .map((name) => `${name}=${params[name]}`)
    .join('&')
  return createVerify('RSA-SHA256').update(content).verify(publicKey, sign, 'base64')
}

function failed(code: string, msg: string, subCode: string): string {
  return text({ code, msg, sub_code: subCode, sub_msg: '交易不存在 {' })
}

/** JSON as Alipay writes it: slashes escaped, other letters as they are. */
function text(value: object): string {
  return JSON.stringify(value).replaceAll('/', '\\/')
}

function yuan(fen: bigint): string {
  return `${fen / 100n}.${(fen % 100n).toString().padStart(2, '0')}`
}
