import type { Provider } from 'ethers'
import { fromHex, toHex, utf8 } from '../bytes.ts'
import { aborted, type Clock, systemClock } from '../clock.ts'
import { throwIfAborted, withDeadline } from '../deadline.ts'
import { assertArgument, isSluiceError, SluiceError } from '../errors.ts'
import { type Logger, silentLogger } from '../log.ts'
import { backoff } from '../retry.ts'
import type { Store, StoreChange } from '../store/store.ts'
import { mayHoldLogs } from './bloom.ts'
import { claim } from './claim.ts'
import { type ChainLog, chainLog } from './chainLog.ts'
import { asksTooMuch, assertChain, createRpc, type Header, pollIntervalOf } from './rpc.ts'

/** A block that a {@link Watcher} has reached. */
export interface WatchedBlock {
  readonly number: number
  readonly hash: string
  /** Unix seconds. */
  readonly timestamp: number
}

/**
 * What a {@link Watcher} calls, one at a time: each call is awaited before the next, and one that throws is repeated
 * until it succeeds, for nothing may be skipped.
 */
export interface WatcherHandlers {
  /**
   * Called once per matching log, in the order of the chain. The place is stored after the block (while catching up,
   * after the range): what was delivered since comes again after a crash, so make it idempotent.
   */
  onLog(log: ChainLog): void | Promise<void>
  /**
   * Called after the logs of each block; while catching up, after each range for its last block only.
   * @param left - blocks that lay deep enough at the last look and come after this one.
   */
  onBlock?(block: WatchedBlock, left: number): void | Promise<void>
  /** Blocks above `block` have left the chain: undo what came from them. Delivery goes on with `block + 1`. */
  onRollback?(block: number): void | Promise<void>
}

/** Options of {@link createWatcher}. */
export interface WatcherOptions {
  readonly provider: Provider
  /** Names the watcher's place in the store and in the log; one name per purpose. */
  readonly name: string
  /** Where the position survives a restart. @default none, starts at `fromBlock` every time */
  readonly store?: Store | undefined
  /** The chain that must answer. @default whichever answered first */
  readonly chainId?: bigint | undefined
  /** Contracts whose logs are delivered. @default every contract */
  readonly addresses?: readonly string[] | undefined
  /** Topics to match, by position: a topic, a choice of topics, or null for any. @default any */
  readonly topics?: readonly (string | readonly string[] | null)[] | undefined
  /** The first block to look at, usually the one that the contract was deployed in. */
  readonly fromBlock: number
  /** How deep a block must lie before it is delivered; 1 is the newest block. @default 1 */
  readonly confirmations?: number | undefined
  /** Milliseconds between two looks at the chain. @default 200 on development chains, 2000 elsewhere */
  readonly pollInterval?: number | undefined
  /** Blocks asked for at once while catching up. Shrinks by itself where a node allows less. @default 2000 */
  readonly maxRange?: number | undefined
  /** Milliseconds that one answer of the node may take. @default 15000 */
  readonly rpcTimeout?: number | undefined
  /** Milliseconds that it may take to come to the newest block before the watcher counts as blind. @default 30000 */
  readonly blindAfter?: number | undefined
  /** @default systemClock */
  readonly clock?: Clock | undefined
  /** @default silentLogger */
  readonly log?: Logger | undefined
}

/** Follows a chain and delivers its logs, exactly once and in order, across reorganisations, outages and restarts. */
export interface Watcher {
  /** The last block that has been delivered; before the first one, `fromBlock - 1`. */
  readonly position: number
  /**
   * Why the chain can't be seen at present: three looks in a row have failed, or one has lasted longer than `blindAfter`.
   * Undefined while all is well; it comes back by itself.
   */
  readonly blind: SluiceError | undefined
  /**
   * Begins to watch, at the block after the stored position.
   * @throws `WRONG_CHAIN` when the node serves another chain than the options or the store say; `RPC_FAILED` when it
   * does not answer (later on that is only logged); `STORE_LOCKED` if another watcher has this name; `STORE_FAILED`.
   */
  start(handlers: WatcherHandlers): Promise<void>
  /** Ends the watch after the block that is being delivered; a later `start` goes on there. */
  stop(): Promise<void>
  /**
   * Resolves when everything that was `confirmations` deep at the time of the call has been delivered.
   * @throws `ABORTED` when the signal fires or the watcher stops.
   */
  caughtUp(signal?: AbortSignal | undefined): Promise<void>
}

/** A watch from `start` to `stop`. */
interface Run {
  readonly handlers: WatcherHandlers
  readonly signal: AbortSignal
}

/** Blocks below the newest one that are asked for one by one and by hash: there a node may lag, or change its mind. */
const TAIL = 16
/** Looks that may fail one after the other before the watcher counts as blind. */
const MAX_FAILURES = 3
/** Times that a narrowed number of questions at once must pass before one more is tried. */
const WIDEN_AFTER = 64
/** Times that a node may say that there are no logs where a block's header promises some. */
const EMPTY_ANSWERS = 7
/** Blocks whose hashes are kept, to find where a reorganisation began. */
const WINDOW = 256

/**
 * Creates a watcher.
 *
 * Near the top of the chain it checks that every block follows the last one and asks for logs by block hash, so that
 * neither a reorganisation nor a node that lags behind the others can hide a log. Further down it asks for ranges of
 * blocks, smaller ones where the node refuses. A reorganisation that reaches below what was delivered is reported by
 * `onRollback`; one that is deeper than the hashes it keeps begins again at `fromBlock`.
 */
export function createWatcher(options: WatcherOptions): Watcher {
  const {
    provider,
    name,
    store,
    fromBlock,
    confirmations = 1,
    maxRange = 2000,
    blindAfter = 30_000,
    clock = systemClock,
    log = silentLogger,
  } = options
  assertArgument(/^[^/]+$/.test(name), 'name', 'a text without a slash')
  assertArgument(Number.isSafeInteger(fromBlock) && fromBlock >= 0, 'fromBlock', 'a block number')
  assertArgument(Number.isSafeInteger(confirmations) && confirmations >= 1, 'confirmations', 'a whole number from 1')
  assertArgument(Number.isSafeInteger(maxRange) && maxRange >= 1, 'maxRange', 'a whole number from 1')
  const rpc = createRpc({ provider, timeout: options.rpcTimeout, clock })
  const match = {
    ...(options.addresses && { address: [...options.addresses] }),
    ...(options.topics && { topics: options.topics.map((topic) => (typeof topic === 'object' && topic ? [...topic] : topic)) }),
  }
  const place = `watcher/${name}`

  /** Hashes of the newest delivered blocks, ascending; the last one is the position. */
  let known: { readonly number: number; readonly hash: string }[] = []
  let range = maxRange
  /** Questions asked at once, which ethers puts into one batch: some nodes refuse large ones. */
  let width = TAIL
  let passed = 0
  let failures = 0
  let failure: SluiceError | undefined
  /** When the look under way began. */
  let lookingSince: number | undefined
  let pollInterval = options.pollInterval ?? 0
  let running: { readonly stop: AbortController; readonly done: Promise<void> } | undefined
  let rung = new AbortController()
  let looks = 0
  const waiting = new Set<{ readonly after: number; readonly settle: (error?: SluiceError) => void }>()

  const position = () => known.at(-1)?.number ?? fromBlock - 1

  return {
    get position() {
      return position()
    },
    get blind() {
      if (failures >= MAX_FAILURES) return failure
      if (lookingSince === undefined || clock.now() - lookingSince <= blindAfter) return undefined
      return failure ?? new SluiceError('RPC_FAILED', `watcher ${name} has not come to the newest block for more than ${blindAfter} ms`)
    },
    async start(handlers) {
      assertArgument(!running, 'start', 'called once before stop')
      const release = claim(store, place, `a watcher ${name}`)
      const stop = new AbortController()
      const run = { handlers, signal: stop.signal }
      const loaded = load(run)
      const done = loaded.then(() => follow(run)).finally(release)
      running = { stop, done: done.catch(() => {}) } // a failed load is reported here, nothing else fails
      try {
        await loaded
      } catch (error) {
        await running.done
        running = undefined
        throw error
      }
    },
    async stop() {
      if (!running) return
      const { stop, done } = running
      stop.abort()
      rung.abort()
      await done
      running = undefined
      for (const { settle } of waiting) settle(aborted(undefined, `watcher ${name}`))
    },
    caughtUp: (signal) =>
      new Promise((resolve, reject) => {
        throwIfAborted(signal)
        const abort = () => waiter.settle(aborted(signal))
        const waiter = {
          after: looks,
          settle(error?: SluiceError) {
            waiting.delete(waiter)
            signal?.removeEventListener('abort', abort)
            if (error) reject(error)
            else resolve()
          },
        }
        waiting.add(waiter)
        signal?.addEventListener('abort', abort, { once: true })
        rung.abort()
      }),
  }

  /** Finds out which chain this is, and where the last run ended on it. */
  async function load(run: Run): Promise<void> {
    const { chainId, chain } = await ask(run, rpc.identify)
    assertChain(chainId, options.chainId)
    pollInterval = options.pollInterval ?? pollIntervalOf(chainId)
    const bytes = await store?.get(`${place}/chain`)
    const stored = bytes && new TextDecoder().decode(bytes)
    if (stored !== undefined) assertChain(chainId, BigInt(stored.split('-')[0]!))
    if (!store) return
    known = []
    for await (const [key, hash] of store.list(`${place}/block/`))
      known.push({ number: Number(key.slice(-16)), hash: toHex(hash) })
    // Where one of the names lacks block 0, its node did not give it.
    if (stored !== undefined && stored !== chain && stored.includes('-') && chain.includes('-')) {
      // A development chain that was started anew: the same id, and nothing of what was.
      log.warn('chain has begun anew, starting over', { name, chainId })
      await rollBack(run, undefined)
    }
    if (!stored?.includes('-') || chain.includes('-')) await store.write([{ key: `${place}/chain`, value: utf8(chain) }])
  }

  async function follow(run: Run): Promise<void> {
    const { signal } = run
    failures = 0
    lookingSince = undefined
    while (!signal.aborted) {
      const look = ++looks
      try {
        lookingSince ??= clock.now()
        await catchUp(run)
        lookingSince = undefined
        if (failures > 0) log.info('watcher goes on', { name, failures, position: position() })
        failures = 0
        failure = undefined
        for (const waiter of waiting) if (waiter.after < look) waiter.settle()
      } catch (error) {
        if (signal.aborted) return
        failures++
        failure = isSluiceError(error) ? error : new SluiceError('RPC_FAILED', `watcher ${name} failed`, { cause: error })
        const details = {
          name,
          failures,
          position: position(),
          reason: error instanceof Error ? error.message : String(error),
        }
        if (isSluiceError(error, 'RPC_FAILED')) log.warn('node does not answer the watcher, trying again', details)
        else log.error('watcher failed, trying again', details)
      }
      rung = new AbortController()
      const asked = failures === 0 && [...waiting].some(({ after }) => after >= look)
      if (signal.aborted || asked) continue
      await clock
        .sleep(failures > 0 ? backoff(failures, { delay: pollInterval, maxDelay: 10_000 }) : pollInterval, rung.signal)
        .catch(() => {})
    }
  }

  /** Delivers everything that is deep enough now. */
  async function catchUp(run: Run): Promise<void> {
    const target = (await ask(run, rpc.head)) - confirmations + 1
    while (position() < target) {
      const from = position() + 1
      const deep = target - TAIL
      await (from < deep ? deliverRange(run, from, Math.min(from + range - 1, deep), target) : deliverBlocks(run, from, target))
    }
    // No new block does not mean no other block.
    const ours = known.find(({ number }) => number === target)
    if (!ours) return
    const theirs = await ask(run, () => rpc.header(target))
    if (theirs && theirs.hash !== ours.hash) {
      await rollBack(run, target)
      await catchUp(run)
    }
  }

  /** Delivers up to {@link TAIL} blocks one by one. */
  async function deliverBlocks(run: Run, from: number, target: number): Promise<void> {
    const count = Math.min(target - from + 1, TAIL)
    const headers = await inBatches(run, Array.from({ length: count }, (_, i) => () => headerOf(from + i)))
    const last = known.at(-1)
    if (last && headers[0]!.parentHash !== last.hash) return rollBack(run, last.number)
    // Cut where the chain changed while it was being read; the next look sees the rest.
    const broken = headers.findIndex(({ parentHash }, i) => i > 0 && parentHash !== headers[i - 1]!.hash)
    const whole = broken === -1 ? headers : headers.slice(0, broken)
    const logs = await inBatches(run, whole.map((header) => () => blockLogs(header)))
    for (const [i, header] of whole.entries()) {
      if (run.signal.aborted) return
      await deliver(run, logs[i]!)
      await deliverBlock(run, header, target)
      await save(header)
    }
  }

  /** Delivers a range of blocks that are too deep to change, as a rule. */
  async function deliverRange(run: Run, from: number, to: number, target: number): Promise<void> {
    // Headers first: should the chain change before the logs are read, the next block will not follow `end`.
    const [first, end] = (await inBatches(run, [() => headerOf(from), () => headerOf(to)])) as [Header, Header]
    const last = known.at(-1)
    if (last && first.parentHash !== last.hash) return rollBack(run, last.number)
    let found: ChainLog[]
    try {
      found = await ask(run, () => logsOf({ fromBlock: from, toBlock: to }))
    } catch (error) {
      if (from === to || !asksTooMuch(error)) throw error
      range = Math.ceil((to - from + 1) / 2)
      log.debug('node refused a range of blocks, asking for half of it', {
        name,
        from,
        to,
        reason: (error as Error).message,
      })
      return
    }
    range = Math.min(range * 2, maxRange)
    for (const logs of byBlock(found)) {
      await deliver(run, logs)
      if (run.signal.aborted) return save({ number: logs[0]!.blockNumber, hash: logs[0]!.blockHash })
    }
    await deliverBlock(run, end, target)
    await save(end)
  }

  async function deliver(run: Run, logs: readonly ChainLog[]): Promise<void> {
    for (const entry of logs) await insist(run, 'onLog', () => run.handlers.onLog(entry))
  }

  async function deliverBlock(run: Run, { number, hash, timestamp }: Header, target: number): Promise<void> {
    await insist(run, 'onBlock', () => run.handlers.onBlock?.({ number, hash, timestamp }, target - number))
  }

  /**
   * Goes back to the newest delivered block that is still on the chain.
   * @param changed a height at which the chain is known to have another block; undefined if it has another at all.
   */
  async function rollBack(run: Run, changed: number | undefined): Promise<void> {
    const candidates = changed === undefined ? [] : known.filter(({ number }) => number < changed)
    // What is on the chain has its ancestors there too, so halving finds the border.
    let [low, high] = [0, candidates.length]
    while (low < high) {
      const middle = Math.floor((low + high) / 2)
      const { number, hash } = candidates[middle]!
      if ((await ask(run, () => headerOf(number))).hash === hash) low = middle + 1
      else high = middle
    }
    const kept = candidates.slice(0, low)
    const to = kept.at(-1)?.number ?? fromBlock - 1
    log.warn('chain was reorganised below what was delivered, going back', { name, from: position(), to })
    await insist(run, 'onRollback', () => run.handlers.onRollback?.(to))
    const gone = known.slice(kept.length)
    known = kept
    await store?.write(gone.map(({ number }) => ({ key: keyOf(number), value: null })))
  }

  async function save({ number, hash }: { readonly number: number; readonly hash: string }): Promise<void> {
    known.push({ number, hash })
    const old = known.length > WINDOW ? known.shift() : undefined
    const changes: StoreChange[] = [{ key: keyOf(number), value: fromHex(hash, 32) }]
    if (old) changes.push({ key: keyOf(old.number), value: null })
    await store?.write(changes)
  }

  function keyOf(number: number): string {
    return `${place}/block/${String(number).padStart(16, '0')}`
  }

  /** Calls a handler until it succeeds. */
  async function insist({ signal }: Run, what: string, run: () => void | Promise<void>): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await run()
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error)
        log.error(`${what} of a watcher failed, calling it again`, { name, attempt, reason })
        await clock.sleep(backoff(attempt, { delay: 500 }), signal)
      }
    }
  }

  /** Asks the node until the watch ends: one listener on its signal, for however many questions. */
  function ask<T>({ signal }: Run, questions: () => Promise<T>): Promise<T> {
    return withDeadline({ what: `watcher ${name}`, signal, clock }, questions)
  }

  /**
   * Puts questions to the node, as many at once as it takes. ethers makes one batch of what is asked at once; a node that
   * refuses it is asked for half as many, down to one, and later for more again.
   */
  async function inBatches<T>(run: Run, questions: readonly (() => Promise<T>)[]): Promise<T[]> {
    const answers: T[] = []
    while (answers.length < questions.length) {
      const some = questions.slice(answers.length, answers.length + width)
      try {
        answers.push(...(await ask(run, () => Promise.all(some.map((question) => question())))))
      } catch (error) {
        if (some.length === 1 || run.signal.aborted || !isSluiceError(error, 'RPC_FAILED') || !refusesBatch(error)) throw error
        width = Math.ceil(some.length / 2)
        passed = 0
        log.debug('node refused questions asked at once, asking for half as many', { name, count: some.length, reason: error.shortMessage })
        continue
      }
      if (width < TAIL && ++passed >= WIDEN_AFTER) [width, passed] = [width + 1, 0]
    }
    return answers
  }

  async function logsOf(where: { blockHash: string } | { fromBlock: number; toBlock: number }): Promise<ChainLog[]> {
    return (await rpc.ask('logs', () => provider.getLogs({ ...match, ...where }))).map(chainLog)
  }

  /**
   * The logs of one block. A node that does not have it yet may say that there are none; where its header promises some, it
   * is asked again, and believed in the end, for a bloom may promise too much.
   */
  async function blockLogs({ hash, logsBloom }: Header): Promise<ChainLog[]> {
    for (let attempt = 1; ; attempt++) {
      const found = await logsOf({ blockHash: hash })
      if (found.length > 0 || attempt >= EMPTY_ANSWERS || !logsBloom || !mayHoldLogs(logsBloom, match)) return found
      await clock.sleep(backoff(attempt, { delay: 100, maxDelay: 1000 }))
    }
  }

  async function headerOf(block: number): Promise<Header> {
    const header = await rpc.header(block)
    if (!header) throw new SluiceError('RPC_FAILED', `node does not have block ${block} yet`, { details: { block } })
    return header
  }
}

/** Whether a node that answered so may answer fewer questions at once: one that is down, or silent, is not asked again. */
function refusesBatch({ details }: SluiceError): boolean {
  return details.status !== undefined || details.rpcCode !== undefined || details.cause === 'BAD_DATA'
}

/** Splits logs by block, in the order of the chain. */
function byBlock(logs: readonly ChainLog[]): ChainLog[][] {
  const sorted = [...logs].sort((a, b) => a.blockNumber - b.blockNumber || a.index - b.index)
  const groups: ChainLog[][] = []
  for (const entry of sorted) {
    const group = groups.at(-1)
    if (group?.[0]!.blockNumber === entry.blockNumber) group.push(entry)
    else groups.push([entry])
  }
  return groups
}
