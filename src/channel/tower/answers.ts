/**
 * What a tower does about closings: which appointment it shows, when, and what it may cost.
 *
 * Nothing is sent before the contract has been asked whether it would take it, and before the channel's own settlement
 * says that the client gains by it. What anybody can make up for nothing costs nothing.
 * @module
 */
import type { Provider } from 'ethers'
import { tokenNetworkInterface } from '../../contracts/tokenNetwork.ts'
import { tokenNetworkReader } from '../../contracts/tokenNetworkView.ts'
import { towerDepositContract, towerDepositInterface } from '../../contracts/towerDeposit.ts'
import { concatBytes, fromHex, toHex, type Hex } from '../../core/bytes.ts'
import { throwRevert } from '../../core/chain/revert.ts'
import type { Rpc } from '../../core/chain/rpc.ts'
import type { Sender, SentReceipt } from '../../core/chain/sender.ts'
import type { Clock } from '../../core/clock.ts'
import { engine } from '../../core/crypto/engine.ts'
import { isSluiceError, SluiceError, type ErrorCode } from '../../core/errors.ts'
import type { Emitter } from '../../core/events.ts'
import type { Logger } from '../../core/log.ts'
import { backoff } from '../../core/retry.ts'
import type { Presented } from '../node/channel.ts'
import { lower } from '../chain/networks.ts'
import { decodeAppointment, isTaken, paidByProof, unseal, type Appointment, type ShownRelease } from './appointment.ts'
import type { Book } from './book.ts'
import { isOver, shownOf, type Closing, type Closings } from './closings.ts'
import type { Spending } from './spending.ts'
import type { TowerEvents } from './tower.ts'
import { gainOf, releasable, type ClosedMoney } from './worth.ts'

/** What answers are made of. */
export interface AnswersParts {
  readonly account: Hex
  readonly provider: Provider
  readonly rpc: Rpc
  readonly sender: Sender
  readonly book: Book
  readonly closings: Closings
  readonly spending: Spending
  readonly towerDeposit: Hex | undefined
  readonly minReward: bigint
  /** The least that an answer of so much gas must gain its client, in the network's token. */
  readonly leastFor: (tokenNetwork: Hex, gas: bigint) => Promise<bigint>
  readonly events: Emitter<TowerEvents>
  readonly clock: Clock
  readonly log: Logger
  readonly signal: AbortSignal
  /** Of the last block, Unix seconds. */
  readonly chainTime: () => number
}

/** See {@link createAnswers}. */
export interface Answers {
  /** Sees to every closing that waits for something. */
  tick(): void
  /** Something is new: an appointment, or what the chain says. */
  wake(): void
  /** What was found out may be wrong: blocks have left the chain. */
  forget(): void
  /** Waits until nothing is under way. */
  idle(): Promise<unknown>
}

/** Milliseconds between two looks at what waits for something. */
export const TICK = 1_000
/** Appointments of one closing that are tried in one look at it: whoever fills its hint delays himself. */
const TRIES_PER_LOOK = 32
/** Channels of the closer that are asked for at the chain to find out who its partner is. */
const MOST_LOOKUPS = 64
/** Channels that a pair may have had before, for its id to be found without asking. */
const EPOCHS = 32
/** Releases that are sent for one closing. */
const MOST_RELEASES = 64
/** The longest pause before an appointment that the contract refused is tried again, in milliseconds. */
const LONGEST_PAUSE = 60_000
/** What comes of showing a proof while somebody else does. */
const RACES: ReadonlySet<ErrorCode> = /* @__PURE__ */ new Set(['NONCE_NOT_INCREASED', 'WRONG_BALANCES', 'TRANSACTION_REVERTED'])
const NO_ADDRESS: Hex = `0x${'00'.repeat(20)}`

/** What was found out about a closing in this run. */
interface Findings {
  partner: Hex | undefined
  lookups: number
  /** By client of the tower: for which of its appointments, and when to try it again. */
  readonly judged: Map<Hex, { readonly counter: number; readonly failures: number; readonly after: number }>
}

/** An appointment that belongs to a closing. */
interface Candidate {
  /** Whose place it has. */
  readonly by: Hex
  readonly counter: number
  readonly appointment: Appointment
  /** Whether the client itself has handed it in, as far as is known. */
  readonly authentic: boolean
}

/** A transaction that shows a proof. */
interface Call {
  readonly to: Hex
  readonly data: string
  readonly rewarded: boolean
}

const idOf = ({ tokenNetwork, channelId }: Closing): string => `${tokenNetwork}/${channelId}`

/** Creates what answers closings. */
export function createAnswers(parts: AnswersParts): Answers {
  const { account, provider, rpc, sender, book, closings, spending, towerDeposit, minReward, leastFor } = parts
  const { events, clock, log, signal, chainTime } = parts
  /** Closings that are being seen to, that wait for something new, and that are tried again. */
  const busy = new Map<string, Promise<void>>()
  const quiet = new Set<string>()
  const trials = new Map<string, { failures: number; after: number }>()
  const findings = new Map<string, Findings>()
  return {
    tick,
    wake: () => {
      quiet.clear()
      tick()
    },
    forget: () => {
      quiet.clear()
      trials.clear()
      findings.clear()
    },
    idle: () => Promise.all(busy.values()),
  }

  function findingsOf(closing: Closing): Findings {
    const id = idOf(closing)
    const found = findings.get(id) ?? { partner: undefined, lookups: 0, judged: new Map() }
    findings.set(id, found)
    return found
  }

  // -------------------------------------------------------------------------------------------------- what there is

  /** Opens what a client has handed in; undefined if it can't belong to the closing. */
  async function open(closing: Closing, by: Hex): Promise<Candidate | { readonly counter: number } | undefined> {
    const kept = await book.get(closing.hint, by)
    if (!kept) return undefined
    const { counter, backing } = kept
    try {
      const appointment = decodeAppointment(unseal(kept.sealed, closing))
      const { tokenNetwork, closer, client } = appointment
      // Whoever knows the channel can make up an appointment; the contract refuses what is not signed.
      if (tokenNetwork !== closing.tokenNetwork || closer !== closing.closer || client === closer) return { counter }
      const current = closings.get(closing.tokenNetwork, closing.channelId)
      const authentic = backing?.account === client || (current?.proven.includes(by) ?? false)
      return { by, counter, appointment, authentic }
    } catch (error) {
      log.info('an appointment can not be opened', { client: by, hint: closing.hint, reason: String(error) })
      return { counter }
    }
  }

  /** Whether the channel is one of the closer and this client. Asks the chain only so often. */
  async function isPartner(closing: Closing, client: Hex): Promise<boolean> {
    const { tokenNetwork, channelId, closer } = closing
    const found = findingsOf(closing)
    if (found.partner) return found.partner === client
    let is = idsOf(tokenNetwork, closer, client).includes(channelId)
    if (!is && found.lookups < MOST_LOOKUPS) {
      found.lookups++
      const { channelId: newest } = await channelOf(closing, client)
      is = newest === channelId
    }
    if (is) found.partner = client
    return is
  }

  function channelOf({ tokenNetwork, closer }: Closing, client: Hex): ReturnType<ReturnType<typeof tokenNetworkReader>['channel']> {
    const reader = tokenNetworkReader(tokenNetwork, provider)
    return rpc.ask('channel', () => reader.channel(closer, client), { attempts: 3, signal })
  }

  /** What the channel holds; undefined once it is not closed any more. */
  async function moneyOf(closing: Closing, client: Hex): Promise<ClosedMoney | undefined> {
    const { channelId, state, deposit1, deposit2, withdrawn1, withdrawn2 } = await channelOf(closing, client)
    if (channelId !== closing.channelId || state !== CLOSED) return undefined
    const side1 = { deposit: deposit1, withdrawn: withdrawn1 }
    const side2 = { deposit: deposit2, withdrawn: withdrawn2 }
    const [own, other] = client < closing.closer ? [side1, side2] : [side2, side1]
    return { client: own, closer: other, fromClient: closing.fromPartner }
  }

  // -------------------------------------------------------------------------------------------------- what is sent

  /** Names a transaction: at most one is ever made for each. */
  function keyOf(label: string, to: Hex, data: string): string {
    return `${label}/${toHex(engine().keccak256(fromHex(`${to}${data.slice(2)}`)))}`
  }

  /** Sends a transaction, or joins the same one of an earlier run. */
  async function send(to: Hex, data: string, label: string): Promise<SentReceipt> {
    const key = keyOf(label, to, data)
    try {
      return await sender.send({ to, data }, { label, key, signal })
    } finally {
      // The same may be due again when it has left the chain. Before that is known the contract refuses it.
      if (sender.find(key)?.done) await sender.forget(key)
    }
  }

  /** What a transaction would use. @throws what the contract would revert with, `RPC_FAILED`. */
  function estimate(to: Hex, data: string): Promise<bigint> {
    const ask = (): Promise<bigint> =>
      provider
        .estimateGas({ from: account, to, data })
        .catch((error: unknown) => throwRevert(error, [tokenNetworkInterface, towerDepositInterface]))
    return rpc.ask('gas estimate', ask, { attempts: 3, signal })
  }

  /** Refuses what gains less than it costs. @throws `FEE_TOO_LOW` */
  async function assertWorth(closing: Closing, client: Hex, gain: bigint, gas: bigint): Promise<void> {
    const least = await leastFor(closing.tokenNetwork, gas)
    const factor = spending.factor(client, gas, chainTime())
    if (gain > 0n && gain >= least * factor) return
    const { channelId } = closing
    throw new SluiceError('FEE_TOO_LOW', `an answer gains ${gain}, and it must gain ${least * factor} to be worth its gas`, {
      details: { channelId, client, gain, least: least * factor },
    })
  }

  /** What shows a proof to the contract: with the reward if it is enough, else for nothing if that is enough. */
  function callsFor(closing: Closing, appointment: Appointment): readonly Call[] {
    const { tokenNetwork, closer, fromPartner } = closing
    const { client, proof, updateSignature, reward } = appointment
    const fromCloser = shownOf(closing)
    const calls: Call[] = []
    const isOurs = reward && reward.deposit === towerDeposit && (reward.tower === account || reward.tower === NO_ADDRESS)
    if (isOurs && reward.amount > 0n && reward.amount >= minReward) {
      const { deposit, ...signed } = reward
      const values = [tokenNetwork, closer, client, fromPartner, fromCloser, proof, updateSignature, signed] as const
      calls.push({ to: deposit, data: towerDepositInterface.encodeFunctionData('update', [...values]), rewarded: true })
    }
    if (minReward === 0n) {
      const values = [closer, client, fromPartner, fromCloser, proof, updateSignature] as const
      calls.push({ to: tokenNetwork, data: tokenNetworkInterface.encodeFunctionData('update', [...values]), rewarded: false })
    }
    return calls
  }

  /** Shows a proof by the first call that the contract takes. @returns whether it was shown. @throws why it was not. */
  async function show(closing: Closing, { by, appointment }: Candidate, money: ClosedMoney): Promise<boolean> {
    const { tokenNetwork, channelId } = closing
    const { client, proof } = appointment
    const before = shownOf(closing)
    if (!isTaken(proof, before)) return false
    const after: Presented = { ...proof, transferred: paidByProof(proof) }
    const calls = callsFor(closing, appointment)
    let failure = new SluiceError('FEE_TOO_LOW', `a reward of ${minReward} is asked for, and less is signed`)
    for (const { to, data, rewarded } of calls) {
      try {
        const label = 'update balance proof'
        let gas = 0n
        // One that an earlier run has sent was worth it, and the contract may have taken it.
        if (!sender.find(keyOf(label, to, data))) {
          gas = await estimate(to, data)
          await closings.noteProven(closing, by)
          if (!rewarded || minReward === 0n) await assertWorth(closing, client, gainOf(money, before, after), gas)
        }
        if (rewarded) await closings.noteReward(closing)
        const receipt = await send(to, data, label)
        if (!rewarded) await spending.note(client, receipt.gasUsed, chainTime())
        log.info('a proof was shown', { channelId, nonce: proof.nonce, rewarded })
        const { nonce } = proof
        events.emit('shown', { tokenNetwork, channelId, client, nonce, rewarded, transactionHash: receipt.hash })
        return true
      } catch (error) {
        if (!isSluiceError(error)) throw error
        failure = error
      }
    }
    throw failure
  }

  /** What the partner has released and the contract does not know yet. */
  function unreleased({ released }: Closing, { releases }: Appointment): readonly ShownRelease[] {
    const known = new Set(released.map(({ lock }) => lock))
    const found = new Map(releases.map((release) => [toHex(release.lock), release]))
    return [...found].filter(([lock]) => !known.has(lock)).map(([, release]) => release)
  }

  /**
   * Shows the partner's releases, for a client that has proven to be one, where the closing claims locks of it that are
   * worth more. @throws why they were not shown.
   */
  async function release(closing: Closing, { appointment, authentic }: Candidate, money: ClosedMoney): Promise<boolean> {
    const saved = releasable(money, shownOf(closing))
    if (!authentic || saved === 0n || (minReward > 0n && callsFor(closing, appointment).length === 0)) return false
    const { tokenNetwork, channelId, closer } = closing
    const { client } = appointment
    const releases = unreleased(closing, appointment).slice(0, Math.max(MOST_RELEASES - closing.releasesSent, 0))
    if (releases.length === 0) return false
    const data = tokenNetworkInterface.encodeFunctionData('registerReleases', [client, closer, [...releases]])
    const label = 'register releases'
    if (!sender.find(keyOf(label, tokenNetwork, data))) {
      await assertWorth(closing, client, saved, await estimate(tokenNetwork, data))
      await closings.noteReleases(closing, releases.length)
    }
    const receipt = await send(tokenNetwork, data, label)
    await spending.note(client, receipt.gasUsed, chainTime())
    events.emit('released', { tokenNetwork, channelId, client, locks: releases.length })
    return true
  }

  // -------------------------------------------------------------------------------------------------- what is due

  /** Tries what there is, those with the most at stake first, until something was shown. */
  async function answer({ tokenNetwork, channelId, hint }: Closing): Promise<void> {
    let tries = 0
    let waiting = 0
    for (const by of book.clients(hint)) {
      const closing = closings.get(tokenNetwork, channelId)
      if (!closing || signal.aborted) return
      const { judged } = findingsOf(closing)
      const before = judged.get(by)
      if (before && clock.now() < before.after && book.counterOf(hint, by) === before.counter) {
        if (before.after < Infinity) waiting++
        continue
      }
      if (++tries > TRIES_PER_LOOK) return
      const candidate = await open(closing, by)
      if (!candidate) continue
      const { counter } = candidate
      const failures = before?.counter === counter ? before.failures : 0
      const judge = (after: number, failed = failures): unknown => judged.set(by, { counter, failures: failed, after })
      if (!('appointment' in candidate)) {
        judge(Infinity)
        continue
      }
      try {
        const { client } = candidate.appointment
        const money = (await isPartner(closing, client)) ? await moneyOf(closing, client) : undefined
        if (money && ((await release(closing, candidate, money)) || (await show(closing, candidate, money)))) return
        // Another's channel for good; else the node may be a block behind.
        const isStrange = !money && findingsOf(closing).partner !== client
        judge(money || (isStrange && findingsOf(closing).partner) ? Infinity : clock.now() + (isStrange ? LONGEST_PAUSE : TICK))
        if (judged.get(by)!.after < Infinity) waiting++
      } catch (error) {
        if (!isSluiceError(error) || signal.aborted) throw error
        waiting++
        judge(clock.now() + backoff(failures + 1, { delay: TICK, maxDelay: LONGEST_PAUSE }), failures + 1)
        tell(closing, error, failures + 1)
      }
    }
    if (waiting === 0) quiet.add(`${tokenNetwork}/${channelId}`)
  }

  /** Takes out what was set aside for this tower. */
  async function collect(closing: Closing): Promise<void> {
    const { tokenNetwork, channelId } = closing
    const contract = towerDepositContract(towerDeposit!, provider)
    const due = await rpc.ask('reward', () => contract.claims(tokenNetwork, channelId), { attempts: 3 })
    if (lower(due.tower) === account && due.amount > 0n) {
      const data = towerDepositInterface.encodeFunctionData('claim', [tokenNetwork, channelId])
      await send(towerDeposit!, data, 'claim reward')
      events.emit('claimed', { tokenNetwork, channelId, amount: due.amount })
    }
    await closings.forget(closing)
  }

  async function see(closing: Closing): Promise<void> {
    if (isOver(closing, chainTime())) return closings.forget(closing)
    if (chainTime() < closing.settleAt) {
      if (book.has(closing.hint) && !quiet.has(idOf(closing))) await answer(closing)
    } else if (closing.rewarded && towerDeposit) await collect(closing)
  }

  function tell({ tokenNetwork, channelId }: Closing, error: unknown, failures: number): void {
    // Somebody else was faster, or the next look says what is wrong.
    if (isSluiceError(error) && RACES.has(error.code)) return
    const code = isSluiceError(error) ? error.code : 'RPC_FAILED'
    const reason = isSluiceError(error) ? error.shortMessage : String(error)
    log.warn('a closing could not be answered, trying again', { channelId, code, reason, failures })
    events.emit('failed', { tokenNetwork, channelId, code, reason })
  }

  function tick(): void {
    const now = clock.now()
    for (const closing of closings.all()) {
      const id = idOf(closing)
      if (busy.has(id) || now < (trials.get(id)?.after ?? 0) || signal.aborted) continue
      const task = see(closing)
        .then(() => void trials.delete(id))
        .catch((error: unknown) => {
          if (signal.aborted) return
          const failures = (trials.get(id)?.failures ?? 0) + 1
          trials.set(id, { failures, after: clock.now() + backoff(failures, { delay: TICK, maxDelay: LONGEST_PAUSE }) })
          tell(closing, error, failures)
        })
        .finally(() => busy.delete(id))
      busy.set(id, task)
    }
    for (const id of [...trials.keys(), ...quiet, ...findings.keys()]) {
      const [tokenNetwork, channelId] = id.split('/') as [Hex, Hex]
      if (closings.get(tokenNetwork, channelId)) continue
      trials.delete(id)
      quiet.delete(id)
      findings.delete(id)
    }
  }
}

/** `closed` as the contract counts the states of a channel. */
const CLOSED = 2n

/** The ids of the first channels of a pair. Source: `TokenNetwork.channelId`. */
function idsOf(tokenNetwork: Hex, a: Hex, b: Hex): readonly Hex[] {
  const word = (value: Hex): Uint8Array => concatBytes(new Uint8Array(12), fromHex(value, 20))
  const pair = concatBytes(word(tokenNetwork), ...(a < b ? [word(a), word(b)] : [word(b), word(a)]))
  return Array.from({ length: EPOCHS }, (_, i) => {
    const epoch = new Uint8Array(32)
    epoch[31] = i + 1
    return toHex(engine().keccak256(concatBytes(pair, epoch)))
  })
}
