/**
 * Looks at an address before money can go there.
 * @module
 */
import type { Provider } from 'ethers'
import { assertAddress } from '../core/address.ts'
import { toHex } from '../core/bytes.ts'
import { revertData } from '../core/chain/revert.ts'
import { createRpc } from '../core/chain/rpc.ts'
import type { Clock } from '../core/clock.ts'
import { domainSeparator } from '../core/crypto/typedData.ts'

/** What can be expected at an address: one of Sluice's contracts, or a token (ERC-20). */
export type ContractKind =
  | 'DataTrade'
  | 'Evidence'
  | 'ProxyTransfer'
  | 'Registry'
  | 'SecretRegistry'
  | 'TokenNetwork'
  | 'TokenNetworkRegistry'
  | 'TowerDeposit'
  | 'ERC-20'

/** Where to look, and how to name it. */
export interface ContractPlace {
  readonly provider: Provider
  /** The chain that the provider is expected to serve. */
  readonly chainId: bigint
  readonly address: string
  /** The option that holds the address, for messages. */
  readonly option: string
  /** @default systemClock */
  readonly clock?: Clock | undefined
  readonly signal?: AbortSignal | undefined
}

/** How a contract answered a call. */
type Answer = { readonly returned: string } | { readonly reverted: string | null }

/** Calls a contract, and takes a revert for an answer. */
export type Call = (to: string, data: string) => Promise<Answer>

/** How a contract shows what it is: one call, or several, and what it alone answers. */
interface Mark {
  readonly calls: readonly string[]
  readonly shownBy: (answers: readonly Answer[], place: Pick<ContractPlace, 'chainId' | 'address'>) => boolean
}

const WORD = '00'.repeat(32)

/** `DOMAIN_SEPARATOR()`: binds name, chain and address, so no other kind, chain or proxy has the same. */
const named = (name: string): Mark => ({
  calls: ['0x3644e515'],
  shownBy: ([answer], { chainId, address }) =>
    answer !== undefined &&
    'returned' in answer &&
    answer.returned === toHex(domainSeparator({ name: `Sluice ${name}`, version: '1', chainId, verifyingContract: address })),
})

/** Where the only list of an answer or of a call begins. */
const TO_LIST = `${WORD.slice(2)}20`

const isZero = (answer: Answer): boolean => 'returned' in answer && answer.returned === `0x${WORD}`
const isEmptyList = (answer: Answer): boolean => 'returned' in answer && answer.returned === `0x${TO_LIST}${WORD}`
const isWord = (answer: Answer): boolean => 'returned' in answer && answer.returned.length === 66

/** The kinds, and what tells each from the others. */
export const marks: Readonly<Record<ContractKind, Mark>> = {
  DataTrade: named('DataTrade'),
  TokenNetwork: named('TokenNetwork'),
  TokenNetworkRegistry: named('TokenNetworkRegistry'),
  TowerDeposit: named('TowerDeposit'),
  // `count` of no service, and an empty page of its list. Only values that are returned: wallets hide why a call reverted.
  Registry: {
    calls: [`0x7937354c${WORD}`, `0xc1bf7040${WORD}${WORD}${WORD}`],
    shownBy: ([count, page]) => isWord(count!) && isEmptyList(page!),
  },
  // `revealedAt` and `listRevealedAt` of nothing, and `revealTimes` of none.
  SecretRegistry: {
    calls: [`0x6adc799c${WORD}`, `0xd8c15013${WORD}`, `0x085a2614${TO_LIST}${WORD}`],
    shownBy: ([one, list, none]) => isZero(one!) && isZero(list!) && isEmptyList(none!),
  },
  // `idOf(0, 0, 0)`, the keccak-256 of three zero words.
  Evidence: {
    calls: [`0x0e54bd7e${WORD}${WORD}${WORD}`],
    shownBy: ([answer]) =>
      'returned' in answer! && answer.returned === '0x46700b4d40ac5c35af2c22dda2787a91eb567b06c924a8fb8ae9a05b20c08c21',
  },
  // `LONGEST()` and `TAKE_DELAY()`.
  ProxyTransfer: { calls: ['0x7d49ee5e', '0x1991ba6b'], shownBy: (answers) => answers.every(isWord) },
  // `balanceOf` and `allowance` of nobody: what every token has to answer, and an ERC-721 or a wallet does not.
  'ERC-20': { calls: [`0x70a08231${WORD}`, `0xdd62ed3e${WORD}${WORD}`], shownBy: (answers) => answers.every(isWord) },
}

/** Times that a question is put to a node that does not answer. */
const ATTEMPTS = 2

/**
 * Checks that an address is a contract of a kind, on the chain it should be on, and not a proxy whose signatures would
 * not count. One call when all is well.
 * @throws `BAD_ARGUMENT` for what is no address; `NOT_DEPLOYED` naming the option, what is there and what to set;
 * `WRONG_CHAIN` when the node serves another chain than it says; `RPC_FAILED` when the node can't tell; `ABORTED`.
 */
export async function assertContract(kind: ContractKind, place: ContractPlace): Promise<void> {
  const { provider, address, option, clock, signal } = place
  assertAddress(address, option)
  const rpc = createRpc({ provider, clock })
  const ask = { attempts: ATTEMPTS, signal }
  const call: Call = (to, data) =>
    rpc.ask(
      `answer of ${option}`,
      async () => {
        try {
          return { returned: await provider.call({ to, data }) }
        } catch (error) {
          const reverted = revertData(error)
          if (reverted === undefined) throw error
          return { reverted }
        }
      },
      ask,
    )
  const { calls, shownBy } = marks[kind]
  if (shownBy(await Promise.all(calls.map((data) => call(address, data))), place)) return
  const code = await rpc.ask(`code of ${option}`, () => provider.getCode(address), ask)
  throw await (await import('./describeContract.ts')).notDeployed(kind, place, code, call)
}
