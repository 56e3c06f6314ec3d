/**
 * Five nodes pay each other: directly, over several hops, over several paths at once, past a node that is cut off; and a
 * watchtower answers one who cheats. A page shows it as it happens; with `--stay` they go on paying until Ctrl-C.
 *
 *     npm run example:channels
 *     npm run example:channels -- --stay
 * @module
 */
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { formatEther, parseEther } from 'ethers'
import type { Hex } from 'sluice-sdk'
import type { PeerTransport } from 'sluice-sdk/channel'
import { createTower, type Tower } from 'sluice-sdk/channel/tower'
import { listenWebSocketPeer } from 'sluice-sdk/channel/listen'
import { memoryStore } from 'sluice-sdk/store'
import { servePage } from '../lib/servePage.ts'
import { openTerminal } from '../lib/terminal.ts'
import { createFeed } from './feed.ts'
import { CHALLENGE_PERIOD, openTown, type Neighbour } from './town.ts'
import { startTraffic } from './traffic.ts'

const { heading, line, check, fail, table } = openTerminal()
const eth = (wei: bigint): string => `${formatEther(wei)} ETH`
const stay = process.argv.includes('--stay')

const feed = createFeed()
const page = await servePage(new URL('web/', import.meta.url), () => ({
  network: feed.network(),
  payments: feed.payments(),
}))
feed.listen({ network: (view) => page.send('network', view), payment: (view) => page.send('payment', view) })
line('page', `${page.url} shows the network as it changes`)

const town = await openTown(feed.follow)
const [ann, ben, cleo, dan, eve] = ['Ann', 'Ben', 'Cleo', 'Dan', 'Eve'].map((name) => town.neighbour(name)) as [
  Neighbour,
  Neighbour,
  Neighbour,
  Neighbour,
  Neighbour
]
const everybody = [ann, ben, cleo, dan, eve]
const { provider } = town.devnet
const before = await Promise.all(everybody.map(({ wallet }) => provider.getBalance(wallet.address)))

/** Waits for something that the nodes do by themselves. */
async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; !(await holds()); tries++) {
    if (tries > 600) throw new Error('it did not come')
    await sleep(50)
  }
}

/** Pays, and tells how. */
async function pay(from: Neighbour, to: Neighbour, amount: bigint): Promise<void> {
  const began = performance.now()
  const through: (readonly [paymentId: string, name: string])[] = []
  const off = everybody.map(({ node, name }) => node?.events.on('mediated', ({ paymentId }) => through.push([paymentId, name])))
  const { id, fee } = await from.node!.pay({ to: to.wallet.address, amount, maxFee: amount / 10n })
  const ms = (performance.now() - began).toFixed(1)
  await sleep(100)
  for (const stop of off) stop?.()
  const mediators = [...new Set(through.filter(([paymentId]) => paymentId === id).map(([, name]) => name))].sort()
  const way = mediators.length > 0 ? `through ${mediators.join(', ')}, fees ${eth(fee)}` : 'directly'
  line('paid', `${from.name} → ${to.name} ${eth(amount)} ${way}, in ${ms} ms`)
}

let tower: PeerTransport | undefined
let watching: Tower | undefined
try {
  heading('A ring of five')
  tower = await listenWebSocketPeer()
  watching = await createTower({
    signer: town.devnet.accounts[7]!,
    tokenNetworks: [town.tokenNetwork],
    store: memoryStore(),
    transport: tower,
    fromBlock: town.fromBlock,
  })
  const towers = { towers: [{ url: tower.endpoint!, account: town.devnet.accounts[7]!.address }] }
  for (const neighbour of everybody) await town.start(neighbour, neighbour === ben ? { towers } : {})
  const channels = new Map<string, Hex>()
  for (const [i, neighbour] of everybody.entries()) {
    const next = everybody[(i + 1) % 5]!
    const { id } = await neighbour.node!.open({ partner: next.wallet.address, deposit: parseEther('1') })
    await next.node!.deposit(id, parseEther('1'))
    channels.set(`${neighbour.name}-${next.name}`, id)
    line('opened', `${neighbour.name} – ${next.name}, 1 ETH on each side`)
  }
  // Everybody has to hear of everybody's channels once.
  const trial = { amount: 1n, maxFee: 100n, timeout: 2_000 }
  await until(() =>
    ann.node!.pay({ to: dan.wallet.address, ...trial }).then(
      () => true,
      () => false,
    ),
  )
  await until(() =>
    cleo.node!.pay({ to: eve.wallet.address, ...trial }).then(
      () => true,
      () => false,
    ),
  )

  // What Ann will pretend to know when she cheats.
  const old = new Map([...ann.entries].map(([key, value]) => [key, value.slice()]))

  heading('Payments')
  await pay(ann, ben, parseEther('0.1'))
  await pay(ann, cleo, parseEther('0.05'))
  line('', 'Eve – Ann is closed: the way from Ann to Eve is four hops long now')
  await eve.node!.close(channels.get('Eve-Ann')!, { how: 'together' })
  await until(() => ann.node!.channels().filter(({ phase }) => phase === 'open').length === 1)
  await pay(ann, eve, parseEther('0.05'))
  const again = await ann.node!.open({ partner: eve.wallet.address, deposit: parseEther('0.5') })
  await until(() => ann.node!.channel(again.id).online)
  line('', 'Ann – Eve is open again. Neither way has 1 ETH, both together do')
  await sleep(1_500)
  await pay(ann, dan, parseEther('1'))
  check('one payment over two paths: all of it, or nothing')

  heading('A node is cut off')
  const lost = dan.node!.pay({ to: ben.wallet.address, amount: parseEther('0.01'), maxFee: parseEther('0.001'), timeout: 5_000 })
  await town.stop(cleo)
  line('cut', 'Cleo, while Dan pays Ben')
  const outcome = lost.then(
    () => check('the payment found another way'),
    (error: { code?: string }) => check(`the payment came to nothing: ${error.code}; nobody has lost anything`),
  )
  // If Dan has given the secret away already, he can't know before Cleo is back.
  await Promise.race([outcome, sleep(6_000)])
  await town.start(cleo)
  await outcome
  await until(() =>
    cleo
      .node!.channels()
      .filter(({ phase }) => phase === 'open')
      .every(({ online }) => online),
  )
  check('Cleo is back, and agrees with her neighbours again')

  heading('Somebody cheats')
  const id = channels.get('Ann-Ben')!
  const due = ben.node!.channel(id).capacity
  await town.stop(ben)
  line('off', 'Ben')
  await town.stop(ann)
  ann.entries.clear()
  for (const [key, value] of old) ann.entries.set(key, value)
  await town.start(ann)
  const shown = new Promise<void>((resolve) => watching!.events.once('shown', () => resolve()))
  await ann.node!.close(id, { how: 'alone' })
  line('closed', 'Ann – Ben by Ann, as if she had never paid him: her store is from before')
  await shown
  check('the watchtower has shown it')
  await town.devnet.increaseTime(CHALLENGE_PERIOD + 1)
  await until(() => ann.node!.channel(id).phase === 'settled')
  await town.start(ben)
  await until(() => ben.node!.channel(id).phase === 'settled')
  line('settled', `Ben has got the ${eth(due)} that were his`)

  if (stay) {
    heading('Every day')
    await ann.node!.open({ partner: ben.wallet.address, deposit: parseEther('1') })
    line('', 'Everybody pays somebody, until Ctrl-C')
    const rest = startTraffic(everybody)
    await once(process, 'SIGINT')
    await rest()
  }

  heading('At the end')
  for (const { node } of everybody) {
    for (const { id: open } of node!.channels()) {
      // The neighbour may have been faster.
      if (node!.channel(open).phase === 'open') await node!.close(open).catch(() => {})
    }
  }
  await until(() => everybody.every(({ node }) => node!.channels().every(({ phase }) => phase !== 'open')))
  // Settlements after one challenge period, and what was locked once that has expired.
  const isEmpty = async (): Promise<boolean> => (await provider.getBalance(town.tokenNetwork)) === 0n
  for (let periods = 0; periods < 8 && !(await isEmpty()); periods++) {
    await town.devnet.increaseTime(CHALLENGE_PERIOD + 1)
    for (let tries = 0; tries < 60 && !(await isEmpty()); tries++) await sleep(50)
  }
  await until(isEmpty)
  const after = await Promise.all(everybody.map(({ wallet }) => provider.getBalance(wallet.address)))
  const rows = everybody.map(({ name }, i) => [name, eth(before[i]!), eth(after[i]!), eth(after[i]! - before[i]!)])
  const gas = after.reduce((sum, balance, i) => sum + balance - before[i]!, 0n)
  table(['', 'before', 'after', 'difference'], [...rows, ['gas', '', '', eth(gas)]])
  check('the contract is empty')
} catch (error) {
  fail(error instanceof Error ? error.stack ?? error.message : String(error))
  process.exitCode = 1
} finally {
  await watching?.stop()
  await tower?.close()
  await town.end()
  feed.stop()
  await page.close()
}
