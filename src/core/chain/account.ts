import {
  getAddress, isError, type JsonRpcSigner, keccak256, type Provider, type Signer, Transaction, type TransactionLike,
} from 'ethers'
import { type Clock, systemClock } from '../clock.ts'
import { withDeadline } from '../deadline.ts'
import { assertArgument, isSluiceError, SluiceError } from '../errors.ts'
import { type Logger, silentLogger } from '../log.ts'
import { feeFields, type Fees, suggestedFees } from './fees.ts'
import { type Lane, openLane } from './lane.ts'
import { assertChain, createRpc, type Rpc } from './rpc.ts'
import type { Attempt, TransactionRecord } from './transactionRecord.ts'
import { judge, reasonOf, type Verdict } from './verdict.ts'

/** Options of {@link openAccount}. */
export interface AccountOptions {
  /** An ethers signer with a provider: one that holds its key, or a browser wallet's. */
  readonly signer: Signer
  /** The chain that must answer. @default whichever answers */
  readonly chainId?: bigint | undefined
  /** Wei per gas that are never exceeded. @default no limit */
  readonly maxFeePerGas?: bigint | undefined
  /** Milliseconds that one answer of the node may take. @default 15000 */
  readonly rpcTimeout?: number | undefined
  /** @default systemClock */
  readonly clock?: Clock | undefined
  /** @default silentLogger */
  readonly log?: Logger | undefined
}

/** An account on one chain: who signs, what that costs, and in which order. */
export interface Account {
  readonly address: string
  readonly chainId: bigint
  /** Tells the chain apart also from others of its id, such as a development chain before it was started anew. */
  readonly chain: string
  readonly provider: Provider
  readonly rpc: Rpc
  readonly lane: Lane
  readonly clock: Clock
  readonly log: Logger
  /** Whether it signs here; a wallet does so itself. */
  readonly holdsKey: boolean
  /** What to offer per gas now. */
  fees(signal: AbortSignal): Promise<Fees>
  /** @throws `INSUFFICIENT_FUNDS` with how much is missing, in wei. */
  checkFunds(needed: bigint, signal: AbortSignal): Promise<void>
  /**
   * Signs, if the signer holds a key.
   * @returns undefined if it does not.
   * @throws `TRANSACTION_REJECTED`, `ABORTED`.
   */
  sign(record: Unsigned, nonce: number, fees: Fees, signal: AbortSignal): Promise<Attempt | undefined>
  /** Has a wallet sign and send. Throws what the wallet throws. @returns the hash. */
  sendByWallet(record: Unsigned): Promise<string>
  /** Hands a signed transaction to the node. */
  handOver(raw: string): Promise<Verdict>
}

/** What of a transaction is settled before it gets nonce and fee. */
export type Unsigned = Pick<TransactionRecord, 'to' | 'data' | 'value' | 'gasLimit'>

/**
 * Opens the account of a signer; let go of its lane when done.
 * @throws `BAD_ARGUMENT` for a signer without provider; `WRONG_CHAIN`, `RPC_FAILED`.
 */
export async function openAccount(options: AccountOptions): Promise<Account> {
  const { signer, rpcTimeout = 15_000, clock = systemClock, log = silentLogger } = options
  assertArgument(signer.provider, 'signer', 'connected to a provider')
  const provider: Provider = signer.provider
  const rpc = createRpc({ provider, timeout: rpcTimeout, clock })
  const [address, { chainId, chain }] = await Promise.all([signer.getAddress().then(getAddress), rpc.identify()])
  assertChain(chainId, options.chainId)
  let holdsKey = !isWallet(signer)

  return {
    address,
    chainId,
    chain,
    provider,
    rpc,
    lane: openLane(chain, address),
    clock,
    log,
    get holdsKey() {
      return holdsKey
    },
    async fees(signal) {
      return suggestedFees(await rpc.prices({ attempts: 5, signal }), options.maxFeePerGas)
    },
    async checkFunds(needed, signal) {
      const ask = () => rpc.ask('balance', () => provider.getBalance(address), { attempts: 5, signal })
      const balance = await rpc.follow(address, ask, { doubts: (answer) => 'value' in answer && answer.value < needed, signal })
      if (balance >= needed) return
      const details = { address, balance, needed, missing: needed - balance }
      throw new SluiceError('INSUFFICIENT_FUNDS', `${address} needs ${details.missing} wei more`, { details })
    },
    async sign({ to, data, value, gasLimit }, nonce, fees, signal) {
      if (!holdsKey) return undefined
      try {
        const request = { to, data, value, gasLimit, nonce, chainId, ...feeFields(fees) }
        const raw = await withDeadline({ what: 'signature', signal, clock }, () => signer.signTransaction(request))
        assertSigned(raw, request, address)
        return { hash: keccak256(raw), raw, fees }
      } catch (error) {
        if (isSluiceError(error)) throw error
        holdsKey = !isError(error, 'UNSUPPORTED_OPERATION') && !isError(error, 'NOT_IMPLEMENTED')
        if (!holdsKey) return undefined
        throw new SluiceError('TRANSACTION_REJECTED', `signer did not sign: ${reasonOf(error)}`)
      }
    },
    async sendByWallet({ to, data, value, gasLimit }) {
      const request = { to, data, value, gasLimit }
      if (isWallet(signer)) return signer.sendUncheckedTransaction(request)
      // With a price ethers does not look for one elsewhere.
      const fees = suggestedFees(await rpc.prices({ attempts: 5 }), options.maxFeePerGas)
      return (await signer.sendTransaction({ ...request, ...feeFields(fees) })).hash
    },
    async handOver(raw) {
      try {
        await withDeadline({ what: 'answer', ms: rpcTimeout, clock }, () => provider.broadcastTransaction(raw))
        return { is: 'accepted' }
      } catch (error) {
        return judge(error)
      }
    },
  }
}

/** Asserts that a signer signed what it was given, with the key of its account: whatever it signed would be sent. */
function assertSigned(raw: string, request: TransactionLike & { readonly to: string | null }, address: string): void {
  const signed = Transaction.from(raw)
  const isSame =
    signed.from === address &&
    signed.to === request.to &&
    signed.data === request.data &&
    signed.value === request.value &&
    signed.nonce === request.nonce &&
    signed.chainId === request.chainId
  if (isSame) return
  throw new SluiceError(
    'TRANSACTION_REJECTED',
    `the signer of ${address} signed another transaction, or with another key: nothing was sent`,
    { details: { address, signedBy: signed.from } },
  )
}

/** What ethers makes of a browser wallet; the check by class would fail across two copies of ethers. */
function isWallet(signer: Signer): signer is JsonRpcSigner {
  return 'sendUncheckedTransaction' in signer
}
