import { AbiCoder, keccak256, MaxUint256, toBeHex } from 'ethers'
import { evidenceContract } from '../../src/contracts/evidence.ts'
import {
  encodeTransfer,
  encodeTransfers,
  proxyTransferContract,
  type AuthorisedTransfer,
} from '../../src/contracts/proxyTransfer.ts'
import { toHex } from '../../src/core/bytes.ts'
import {
  grapheneKey,
  seedSecret,
  signTransferParams,
  transferDigest,
  type AccountId,
  type AssetId,
} from '../../src/core/crypto/graphene/index.ts'
import type { Devnet, DevnetExchange } from '../../src/testing/devnet.ts'
import { createRows, hash, NOW, run, type Row } from './row.ts'

const CID = 'QmbTuAu2zM53Rj8rk8J2o7mCzHJr6vf8WdjYyiq5SNaDBF'
const PLACE_BITS = 14
/** Slot of `_places`, as the compiler lays it out. */
const PLACES_SLOT = 8
const secrets = Array.from({ length: 14 }, (_, i) => seedSecret(`gas ${i}`))
/** The first account is the proxy, three pay, ten are paid. */
const [PAYERS, PAYEES] = [3, 10]

/**
 * Measures the contracts of a data exchange service, between accounts that have traded before. No other system gives figures
 * for the same; a plain transfer of an ERC-20 between two holders takes 34,500 to 51,600 gas, and isn't authorised by
 * anybody else than its sender.
 */
export async function measureExchange(chain: Devnet): Promise<Row[]> {
  const { rows, note } = createRows('ProxyTransfer')
  const exchange = await chain.deployExchange({
    placeBits: PLACE_BITS,
    token: true,
    accounts: secrets.map((secret) => ({ secret, deposit: 10n ** 15n, tokens: 10n ** 15n })),
  })
  for (const [i, contract] of ['ProxyTransfer', 'Evidence'].entries()) {
    const made = (await chain.provider.getBlock(exchange.fromBlock + i))?.transactions[0]
    const receipt = made === undefined ? null : await chain.provider.getTransactionReceipt(made)
    if (!receipt) throw new Error(`no deployment of ${contract}`)
    note('deploy', Number(receipt.gasUsed), null, 1, contract)
  }
  const [proxy, payer] = exchange.accounts
  const contract = proxyTransferContract(exchange.proxyTransfer, proxy!.wallet)

  // Accounts and money
  const newcomer = chain.accounts[0]!
  note('open', await run(contract.connect(newcomer).open(newcomer.signingKey.publicKey)))
  note('deposit, ETH', await run(contract.deposit(2, 1, 1000n, { value: 1000n })))
  const token = exchange.token!
  await run(token.connect(proxy!.wallet).mint(proxy!.wallet.address, 10n ** 18n))
  await run(token.connect(proxy!.wallet).approve(exchange.proxyTransfer, MaxUint256))
  note('deposit, token', await run(contract.deposit(2, 2, 1000n)))
  note('planTake', await run(contract.connect(payer!.wallet).planTake(2, 1, 1000n)))

  // Transfers
  const [first] = transfersOf(1)
  note('proxyTransfer', await run(contract.proxyTransfer(encodeTransfer(first!))))
  if (BigInt(await chain.provider.getStorage(exchange.proxyTransfer, placeOf(first!))) === 0n)
    throw new Error('not where places are')
  for (const count of [10, 100]) {
    note(`proxyTransfers of ${count}`, await run(contract.proxyTransfers(encodeTransfers(transfersOf(count)))), null, count)
  }
  for (const count of [1, 10, 100]) {
    const transfers = transfersOf(count)
    await leaveUsed(chain, exchange, transfers)
    note(
      `proxyTransfers of ${count}, places used before`,
      await run(contract.proxyTransfers(encodeTransfers(transfers))),
      null,
      count,
    )
  }

  const evidence = evidenceContract(exchange.evidence, proxy!.wallet)
  note('anchor 1,000 records', await run(evidence.anchor(hash(1), 1000)), null, 1000, 'Evidence')
  note('anchor', await run(evidence.anchor(hash(2), 1000)), null, 1, 'Evidence')
  return rows
}

let made = 0

function transfersOf(count: number): AuthorisedTransfer[] {
  return Array.from({ length: count }, (_, i) => {
    const payer = 1 + (i % PAYERS)
    return {
      params: signTransferParams(
        {
          from: idOf(payer),
          to: idOf(1 + PAYERS + (i % PAYEES)),
          proxyAccount: idOf(0),
          amount: { amount: 50_000n, assetId: '1.3.1' satisfies AssetId },
          percent: 1000,
          memo: keccak256(toBeHex(++made, 32)).slice(2, 34),
          expiration: NOW + 1800,
        },
        grapheneKey(secrets[payer]!),
      ),
      proxyMemo: CID,
    }
  })
}

function idOf(index: number): AccountId {
  return `1.2.${index + 1}`
}

/** Leaves the places of these transfers as others did that have expired: the state of an exchange that has run for a while. */
async function leaveUsed(
  chain: Devnet,
  { proxyTransfer }: DevnetExchange,
  transfers: readonly AuthorisedTransfer[],
): Promise<void> {
  const expired = ((BigInt(hash(7)) >> 64n) << 64n) | BigInt(NOW - 1)
  for (const transfer of transfers) {
    const slot = placeOf(transfer)
    if (BigInt(await chain.provider.getStorage(proxyTransfer, slot)) !== 0n) continue
    await chain.provider.send('anvil_setStorageAt', [proxyTransfer, slot, toBeHex(expired, 32)])
  }
}

/** Slot of a transfer's place. */
function placeOf({ params }: AuthorisedTransfer): string {
  const place = BigInt(toHex(transferDigest(params))) & ((1n << BigInt(PLACE_BITS)) - 1n)
  return keccak256(AbiCoder.defaultAbiCoder().encode(['uint256', 'uint256'], [place, PLACES_SLOT]))
}
