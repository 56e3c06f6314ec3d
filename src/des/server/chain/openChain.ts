import { computeAddress, getAddress, type Provider, type Signer } from 'ethers'
import { assertContract } from '../../../contracts/assertContract.ts'
import { evidenceInterface } from '../../../contracts/evidence.ts'
import { proxyTransferContract, proxyTransferInterface } from '../../../contracts/proxyTransfer.ts'
import { assertAddress } from '../../../core/address.ts'
import { createBell } from '../../../core/bell.ts'
import { toHex } from '../../../core/bytes.ts'
import { chainLog } from '../../../core/chain/chainLog.ts'
import { createRpc } from '../../../core/chain/rpc.ts'
import { createSender } from '../../../core/chain/sender.ts'
import { createWatcher } from '../../../core/chain/watcher.ts'
import type { Clock } from '../../../core/clock.ts'
import { readPublicKey, type AccountId } from '../../../core/crypto/graphene/index.ts'
import { assertArgument, SluiceError } from '../../../core/errors.ts'
import type { Ledger } from '../../../core/ledger/index.ts'
import type { Logger } from '../../../core/log.ts'
import { migrate, type Sql } from '../../../core/sql/index.ts'
import type { Store } from '../../../core/store/store.ts'
import type { Settlement } from '../context.ts'
import type { Database } from '../database.ts'
import type { EvidenceAnchor } from '../evidence/evidence.ts'
import { createChainAnchor } from './anchor.ts'
import { createChainSettlement, GATHER } from './chainSettlement.ts'
import { createLeader } from './leader.ts'
import { createMirror } from './mirror.ts'
import { idOf } from './names.ts'
import { createOutbox } from './outbox.ts'
import { createRetention } from './retention.ts'
import { migrations } from './schema.ts'

/** Where an exchange's money moves. */
export interface ChainOptions {
  /** The exchange's key, connected to the chain: it pays for the gas. */
  readonly signer: Signer
  /** Address of `ProxyTransfer.sol`. */
  readonly proxyTransfer: string
  /** Address of `Evidence.sol`. @default none: evidence stays in the database */
  readonly evidence?: string | undefined
  /** Block of the contracts' deployment. */
  readonly fromBlock: number
  /** How deep a block must lie to be believed; 1 is the newest. @default 12 */
  readonly confirmations?: number | undefined
  /** Milliseconds after the death of the process that sends until another one goes on. @default 30000 */
  readonly lease?: number | undefined
}

/** A chain that an exchange works on. */
export interface OpenedChain {
  readonly settlement: Settlement
  /** Undefined without a contract for evidence. */
  readonly anchor: EvidenceAnchor | undefined
  /** The account of the exchange's key. @throws `BAD_KEY`; `BAD_ARGUMENT` unless it is the signer's; `ACCOUNT_NOT_FOUND` */
  accountOf(publicKey: string): Promise<AccountId>
}

/** Milliseconds between two looks for what other processes have submitted. */
const LOOK = 1000

/**
 * Opens the chain that an exchange settles on. Any number of processes may have one database: all submit, one of them sends
 * and watches.
 * @throws `BAD_ARGUMENT` for a signer without provider; `NOT_DEPLOYED`; `ACCOUNT_NOT_FOUND` if the signer's key has no account
 * in the contract; `RPC_FAILED`, `SQL_FAILED`.
 */
export async function openChain(
  options: ChainOptions & { readonly sql: Sql<Database>; readonly ledger: Ledger; readonly clock: Clock; readonly log: Logger },
): Promise<OpenedChain> {
  const { sql, ledger, signer, fromBlock, confirmations = 12, lease = 30_000, clock, log } = options
  const { provider } = signer
  assertArgument(provider, 'signer', 'connected to a provider')
  assertAddress(options.proxyTransfer, 'proxyTransfer')
  if (options.evidence !== undefined) assertAddress(options.evidence, 'evidence')
  const proxyTransfer = getAddress(options.proxyTransfer)
  const evidence = options.evidence === undefined ? undefined : getAddress(options.evidence)
  const addresses = [proxyTransfer, ...(evidence === undefined ? [] : [evidence])]
  const rpc = createRpc({ provider, clock })
  const own = getAddress(await signer.getAddress())
  const place = { provider, chainId: await rpc.chainId({ attempts: 2 }), clock }
  await assertContract('ProxyTransfer', { ...place, address: proxyTransfer, option: 'proxyTransfer' })
  if (evidence !== undefined) await assertContract('Evidence', { ...place, address: evidence, option: 'evidence' })
  const account = await ownAccount(provider)
  await migrate(sql, 'des-chain', migrations)

  const bell = createBell()
  const wake = (): void => bell.ring()
  const closing = new AbortController()
  const outbox = createOutbox({ sql, clock, log })
  const anchor =
    evidence === undefined ? undefined : createChainAnchor({ sql, outbox, evidence, clock, wake, signal: closing.signal })
  const settlement = createChainSettlement({
    sql,
    ledger,
    outbox,
    proxyTransfer,
    clock,
    wake,
    start: () => leader.start(),
    stop: () => {
      closing.abort()
      return leader.stop()
    },
  })
  const mirror = createMirror({
    sql,
    ledger,
    rpc,
    proxyTransfer,
    own,
    account,
    retention: createRetention({ sql, rpc, clock, log }),
    clock,
    log,
    tell: async (tx) => void (await settlement.tell(tx)),
    async logsOf({ transactionHash, blockHash }) {
      const receipt = await rpc.ask('receipt', () => provider.getTransactionReceipt(transactionHash))
      if (receipt?.blockHash !== blockHash) return undefined
      return receipt.logs.filter(({ address }) => addresses.includes(address)).map(chainLog)
    },
  })
  const leader = createLeader({ sql, name: `des-chain/${proxyTransfer}`, lease, lead, clock, log })

  return {
    settlement,
    anchor,
    async accountOf(publicKey) {
      const address = computeAddress(toHex(readPublicKey(publicKey)))
      assertArgument(address === own, 'signer', "that of the exchange's key")
      return account
    },
  }

  async function ownAccount(on: Provider): Promise<AccountId> {
    const contract = proxyTransferContract(proxyTransfer, on)
    const number = await rpc.ask('account of the exchange', () => contract.accountOf(own), { attempts: 5 })
    const current =
      number === 0n ? undefined : await rpc.ask('key of the exchange', () => contract.signerOf(number), { attempts: 5 })
    if (current === own) return idOf(number)
    throw new SluiceError('ACCOUNT_NOT_FOUND', `${own} has no account: open one with \`open\` of ProxyTransfer`, {
      details: { address: own },
    })
  }

  async function lead(store: Store, until: AbortSignal): Promise<void> {
    const interfaces = [proxyTransferInterface, evidenceInterface]
    const over = new AbortController()
    const signal = AbortSignal.any([until, over.signal])
    const sender = await createSender({ signer, store, interfaces, confirmations, clock, log })
    const watcher = createWatcher({
      provider: provider!,
      name: 'des-chain',
      store,
      addresses,
      fromBlock,
      confirmations,
      clock,
      log,
    })
    // Also while it starts: what it delivers is insisted on.
    const onAbort = (): void => void watcher.stop()
    until.addEventListener('abort', onAbort, { once: true })
    try {
      if (until.aborted) return
      await watcher.start(mirror)
      let rung: Promise<void> | undefined
      let woken = false
      let timer = new AbortController()
      while (!signal.aborted) {
        while ((await sql.transaction((tx) => settlement.tell(tx))) > 0);
        await settlement.gather()
        await anchor?.gather()
        await outbox.pump(sender, signal)
        timer = new AbortController()
        rung ??= bell.wait().then(() => {
          rung = undefined
          woken = true
          timer.abort()
        })
        await clock.sleep(LOOK, AbortSignal.any([signal, timer.signal])).catch(() => {})
        // What comes right after it shares its transaction, and this round.
        if (woken) await clock.sleep(GATHER, signal).catch(() => {})
        woken = false
      }
    } finally {
      over.abort()
      until.removeEventListener('abort', onAbort)
      await watcher.stop()
      await sender.close()
      await outbox.settled()
    }
  }
}
