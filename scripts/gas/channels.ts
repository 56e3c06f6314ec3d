import { MaxUint256, parseEther, ZeroAddress, ZeroHash, type HDNodeWallet } from 'ethers'
import { secretRegistryContract } from '../../src/contracts/secretRegistry.ts'
import { tokenNetworkRegistryContract } from '../../src/contracts/tokenNetworkRegistry.ts'
import { towerDepositContract } from '../../src/contracts/towerDeposit.ts'
import { encodeLocks, type UnlockableLock } from '../../src/contracts/unlock.ts'
import type { Hex } from '../../src/core/bytes.ts'
import type { Devnet } from '../../src/testing/devnet.ts'
import {
  balanceOf,
  createChannels,
  locksrootOf,
  NO_LOCKS,
  NO_PROOF,
  NOTHING,
  secretOf,
  streamOf,
  type Balance,
  type Channels,
} from '../../test/fixtures/contracts/channels.ts'
import { createRows, hash, NOW, run, type Anchor, type Row } from './row.ts'

/** Of raiden-contracts 0.50, on an EVM of today. */
const raiden = (gas: number): Anchor => ({ name: 'Raiden', gas })
const nitro = (gas: number): Anchor => ({ name: 'go-nitro', gas })

const DEPOSIT = parseEther('200')
const PERIOD = 86_400

/** Who pays whom, in which channels. */
interface Sides {
  readonly channels: Channels
  /** Zero for ETH. */
  readonly token: string
  /** Opens and closes. */
  readonly closer: HDNodeWallet
  readonly partner: HDNodeWallet
}

/** A channel that was closed and updated. */
interface Ended {
  readonly fromPartner: Balance
  readonly fromCloser: Balance
  readonly epoch: number
}

/** Measures the contracts of payment channels, between accounts that have traded before. */
export async function measureChannels(chain: Devnet): Promise<Row[]> {
  const [alice, bob, carol, stranger] = chain.accounts
  if (!alice || !bob || !carol || !stranger) throw new Error('four accounts are needed')
  const { rows, note } = createRows('TokenNetwork')
  const deployment = await chain.deployChannels({ challengePeriod: PERIOD })
  const secrets = secretRegistryContract(deployment.secretRegistry, stranger)
  for (const [i, contract] of ['SecretRegistry', 'TokenNetworkRegistry', 'TowerDeposit'].entries()) {
    const hash = (await chain.provider.getBlock(deployment.fromBlock + i))?.transactions[0]
    const receipt = hash === undefined ? null : await chain.provider.getTransactionReceipt(hash)
    if (!receipt) throw new Error(`no deployment of ${contract}`)
    note('deploy', Number(receipt.gasUsed), contract === 'TokenNetworkRegistry' ? raiden(4_409_204) : null, 1, contract)
  }

  const token = await chain.deployToken()
  const tokenAddress = await token.getAddress()
  const registry = tokenNetworkRegistryContract(deployment.tokenNetworkRegistry, stranger)
  note(
    'createTokenNetwork',
    await run(registry.createTokenNetwork(await (await chain.deployToken()).getAddress())),
    raiden(3_532_120),
    1,
    'TokenNetworkRegistry',
  )
  const inToken = await createChannels(chain, deployment, stranger, tokenAddress)
  const inEth = await createChannels(chain, deployment, stranger)
  for (const account of [alice, bob, carol]) {
    await run(token.connect(account).mint(account.address, parseEther('1000000')))
    await run(token.connect(account).approve(inToken.address, MaxUint256))
  }
  // The contract's own balance slot is in use in the long run.
  await run(inToken.network.connect(carol).open(stranger.address, DEPOSIT, ZeroHash, '0x'))
  await run(inEth.network.connect(carol).open(stranger.address, DEPOSIT, ZeroHash, '0x', { value: DEPOSIT }))
  const tokens: Sides = { channels: inToken, token: tokenAddress, closer: alice, partner: bob }
  const ether: Sides = { ...tokens, channels: inEth, token: ZeroAddress }

  // Opening
  note(
    'open, the first of a pair',
    await run(inToken.network.connect(alice).open(bob.address, 0n, ZeroHash, '0x')),
    raiden(103_542),
  )
  await cooperate(tokens, 0n, 0n)
  note('open', await run(inToken.network.connect(alice).open(bob.address, 0n, ZeroHash, '0x')), raiden(86_430))
  note(
    'deposit, the first',
    await run(inToken.network.connect(alice).deposit(alice.address, bob.address, DEPOSIT)),
    raiden(85_994),
  )
  note(
    'deposit, more',
    await run(inToken.network.connect(alice).deposit(alice.address, bob.address, DEPOSIT + 1n)),
    raiden(68_906),
  )
  await cooperate(tokens, DEPOSIT + 1n, 0n)
  note(
    'open, with deposit, the first of a pair',
    await run(inToken.network.connect(bob).open(carol.address, DEPOSIT, ZeroHash, '0x')),
    raiden(152_292),
  )
  note('open, with deposit', await open(tokens), raiden(152_292))
  await cooperate(tokens, DEPOSIT / 2n, DEPOSIT / 2n)
  note('open, with deposit, ETH, the first of a pair', await open(ether), raiden(152_292))
  await cooperate(ether, DEPOSIT / 2n, DEPOSIT / 2n)
  note('open, with deposit, ETH', await open(ether), raiden(152_292))
  await cooperate(ether, DEPOSIT / 2n, DEPOSIT / 2n)
  const id = await idOf(tokens, 1)
  const watch = hash(1)
  const consent = await inToken.proof(bob, id, { nonce: 1, watch })
  note('open, with consent', await run(inToken.network.connect(alice).open(bob.address, 0n, watch, consent.signature)))
  await cooperate(tokens, 0n, 0n)
  const openId = await idOf(tokens, 1)
  const signature = await inToken.sign(alice, 'Open', { channelId: openId, deposit: DEPOSIT, validUntil: NOW + 10 ** 6, consent: ZeroHash })
  const permit = { value: 0n, deadline: 0n, v: 0, r: ZeroHash, s: ZeroHash }
  note(
    'openFor, by allowance',
    await run(
      inToken.network
        .connect(stranger)
        .openFor(alice.address, bob.address, DEPOSIT, NOW + 10 ** 6, signature, ZeroHash, '0x', permit),
    ),
  )

  // While open
  note('withdraw, the first', await withdraw(tokens, DEPOSIT / 4n), raiden(97_981))
  note('withdraw, more', await withdraw(tokens, DEPOSIT / 2n), raiden(97_981))
  await cooperate(tokens, DEPOSIT / 2n, 0n)

  // Ending together
  await open(tokens)
  note('closeCooperatively', await cooperate(tokens, DEPOSIT / 2n, DEPOSIT / 2n), nitro(112_690))
  await open(tokens)
  note('closeCooperatively, all to one', await cooperate(tokens, DEPOSIT, 0n), { name: 'uRaiden, one way', gas: 71_182 })
  await open(ether)
  note('closeCooperatively, ETH', await cooperate(ether, DEPOSIT / 2n, DEPOSIT / 2n), nitro(111_514))

  // Ending alone
  await open(tokens)
  const plain = await end(tokens, note, ['close', 'update'])
  note('settle', await settle(tokens, plain))
  await open(tokens)
  await openWithSteps(tokens)
  await open(tokens)
  note(
    'close, without proof',
    await run(inToken.network.connect(alice).close(alice.address, bob.address, NO_PROOF, '0x')),
    raiden(87_536),
  )
  note(
    'settle, without proofs, one deposit',
    await settle(tokens, { fromPartner: NOTHING, fromCloser: NOTHING, epoch: 0 }),
    raiden(74_060),
  )
  await open(tokens)
  await run(inToken.network.connect(bob).deposit(bob.address, alice.address, DEPOSIT))
  await run(inToken.network.connect(alice).close(alice.address, bob.address, NO_PROOF, '0x'))
  note(
    'settle, without proofs, two deposits',
    await settle(tokens, { fromPartner: NOTHING, fromCloser: NOTHING, epoch: 0 }),
    raiden(74_060),
  )
  await open(ether)
  note('settle, ETH', await settle(ether, await end(ether)))

  // Locks
  for (const [count, anchor] of [
    [1, raiden(59_049)],
    [6, raiden(83_852)],
    [160, raiden(722_386)],
  ] as const) {
    const locks = locksOf(count)
    await open(tokens)
    const ended = await end(tokens, undefined, [], locks)
    const settleGas = await settle(tokens, ended)
    if (count === 6) note('settle, with locks', settleGas, raiden(166_989))
    const list = [...locks.values()].map(({ secrethash }) => secrethash)
    const register = await run(secrets.registerSecrets(Array.from({ length: count }, (_, i) => secretOf(i).secret)))
    if (count === 1) note('registerSecrets, 1', register, raiden(46_205), 1, 'SecretRegistry')
    note(`unlock, ${count} lock${count === 1 ? '' : 's'}`, await unlock(tokens, ended, locks, locks.keys(), [list]), anchor)
  }
  note(
    'registerSecrets, 3',
    await run(secrets.registerSecrets([1001, 1002, 1003].map((seed) => secretOf(seed).secret))),
    raiden(97_510),
    1,
    'SecretRegistry',
  )
  for (let i = 0; i < 160; i++) await run(secrets.registerSecrets([secretOf(i).secret]))
  for (const [count, anchor] of [
    [6, raiden(83_852)],
    [160, raiden(722_386)],
  ] as const) {
    const locks = locksOf(count)
    await open(tokens)
    const ended = await end(tokens, undefined, [], locks)
    await settle(tokens, ended)
    note(`unlock, ${count} locks, secrets registered one by one`, await unlock(tokens, ended, locks, locks.keys()), anchor)
  }
  const locks = locksOf(160)
  await open(tokens)
  const ended = await end(tokens, undefined, [], locks)
  await settle(tokens, ended)
  note('unlock, 1 of 160 locks', await unlock(tokens, ended, locks, [77]), raiden(722_386))

  await open(tokens)
  const closed = await end(tokens)
  const lock = hash(5)
  const release = await inToken.sign(bob, 'Release', { channelId: await idOf(tokens), sender: alice.address, lock })
  note(
    'registerReleases, 1',
    await run(inToken.network.connect(alice).registerReleases(alice.address, bob.address, [{ lock, signature: release }])),
  )
  await settle(tokens, closed)

  // Watchtowers
  const tower = towerDepositContract(deployment.towerDeposit, bob)
  note(
    'deposit, the first',
    await run(tower.deposit(bob.address, DEPOSIT, { value: DEPOSIT })),
    raiden(98_681),
    1,
    'TowerDeposit',
  )
  await open(tokens)
  const proofs = await proofsOf(tokens, await idOf(tokens))
  await run(inToken.network.connect(alice).close(alice.address, bob.address, proofs.ofPartner, '0x'))
  const reward = { tower: ZeroAddress, amount: 10n ** 15n, signature: '' }
  reward.signature = await bob.signTypedData(
    { name: 'Sluice TowerDeposit', version: '1', chainId: chain.chainId, verifyingContract: deployment.towerDeposit },
    {
      TowerReward: [
        { name: 'tokenNetwork', type: 'address' },
        { name: 'channelId', type: 'bytes32' },
        { name: 'nonce', type: 'uint64' },
        { name: 'tower', type: 'address' },
        { name: 'amount', type: 'uint128' },
      ],
    },
    { tokenNetwork: inToken.address, channelId: await idOf(tokens), nonce: proofs.ofCloser.nonce, ...reward },
  )
  const update = await inToken.sign(bob, 'Update', {
    channelId: await idOf(tokens),
    proof: inToken.digest(await idOf(tokens), proofs.ofCloser),
    steps: ZeroHash,
  })
  note(
    'update',
    await run(
      tower
        .connect(stranger)
        .update(
          inToken.address,
          alice.address,
          bob.address,
          balanceOf(proofs.ofPartner),
          NOTHING,
          proofs.ofCloser,
          update,
          reward,
        ),
    ),
    raiden(224_595),
    1,
    'TowerDeposit',
  )
  await chain.increaseTime(PERIOD)
  note('claim', await run(tower.connect(stranger).claim(inToken.address, await idOf(tokens))), raiden(73_529), 1, 'TowerDeposit')
  note('planWithdraw', await run(tower.planWithdraw(DEPOSIT / 2n)), raiden(71_878), 1, 'TowerDeposit')
  await chain.increaseTime(2 * PERIOD)
  note('withdraw', await run(tower.withdraw(bob.address)), raiden(69_687), 1, 'TowerDeposit')
  return rows

  async function idOf({ channels, closer, partner }: Sides, ahead = 0): Promise<string> {
    const { epoch } = await channels.network.channel(closer.address, partner.address)
    return channels.id(closer.address, partner.address, Number(epoch) + ahead)
  }

  async function open({ channels, token, closer, partner }: Sides): Promise<number> {
    return run(
      channels.network
        .connect(closer)
        .open(partner.address, DEPOSIT, ZeroHash, '0x', { value: token === ZeroAddress ? DEPOSIT : 0n }),
    )
  }

  async function cooperate(sides: Sides, ofCloser: bigint, ofPartner: bigint): Promise<number> {
    const { channels, closer, partner } = sides
    const low = BigInt(closer.address) < BigInt(partner.address)
    const message = {
      channelId: await idOf(sides),
      balance1: low ? ofCloser : ofPartner,
      balance2: low ? ofPartner : ofCloser,
      validUntil: NOW + 10 ** 9,
    }
    const network = channels.network.connect(closer)
    const signatures = [
      await channels.sign(closer, 'CooperativeClose', message),
      await channels.sign(partner, 'CooperativeClose', message),
    ] as const
    return run(
      network.closeCooperatively(closer.address, partner.address, ofCloser, ofPartner, message.validUntil, ...signatures),
    )
  }

  async function withdraw(sides: Sides, totalWithdraw: bigint): Promise<number> {
    const { channels, closer, partner } = sides
    const message = { channelId: await idOf(sides), participant: closer.address, totalWithdraw, validUntil: NOW + 10 ** 9 }
    const network = channels.network.connect(closer)
    const signature = await channels.sign(partner, 'Withdraw', message)
    return run(network.withdraw(closer.address, partner.address, totalWithdraw, message.validUntil, '0x', signature))
  }

  async function proofsOf({ channels, closer, partner }: Sides, id: string, locks?: ReadonlyMap<number, UnlockableLock>) {
    const locked = [...(locks?.values() ?? [])].reduce((sum, { amount }) => sum + amount, 0n)
    return {
      ofPartner: await channels.proof(partner, id, { nonce: 3, transferred: parseEther('1'), ref: hash(2) }),
      ofCloser: await channels.proof(closer, id, {
        nonce: 1007,
        transferred: parseEther('2'),
        locked,
        locksroot: locksrootOf(locks ?? new Map<number, UnlockableLock>()),
        ref: hash(3),
      }),
    }
  }

  /** Closes by the closer and updates by its partner, with these locks of the closer. */
  async function end(
    sides: Sides,
    noteIt?: typeof note,
    names: readonly string[] = [],
    locks?: ReadonlyMap<number, UnlockableLock>,
  ): Promise<Ended> {
    const { channels, closer, partner } = sides
    const { epoch } = await channels.network.channel(closer.address, partner.address)
    const { ofPartner, ofCloser } = await proofsOf(sides, await idOf(sides), locks)
    const closing = await run(channels.network.connect(closer).close(closer.address, partner.address, ofPartner, '0x'))
    const fromPartner = balanceOf(ofPartner)
    const updating = await run(
      channels.network.connect(partner).update(closer.address, partner.address, fromPartner, NOTHING, ofCloser, '0x'),
    )
    if (names[0]) noteIt?.(names[0], closing, raiden(137_746))
    if (names[1]) noteIt?.(names[1], updating, raiden(90_550))
    return { fromPartner, fromCloser: balanceOf(ofCloser), epoch: Number(epoch) }
  }

  async function settle({ channels, closer, partner }: Sides, { fromPartner, fromCloser }: Ended): Promise<number> {
    await chain.increaseTime(PERIOD)
    return run(channels.network.connect(partner).settle(closer.address, partner.address, fromPartner, fromCloser))
  }

  /** Closes with the last of a hash chain of 1,000 steps. */
  async function openWithSteps(sides: Sides): Promise<void> {
    const { channels, closer, partner } = sides
    const id = await idOf(sides)
    const { stream, steps } = streamOf(hash(4), 10n ** 12n, 1000)
    const proof = await channels.proof(partner, id, { nonce: 3, transferred: parseEther('1'), stream, steps: steps(1000) })
    note(
      'close, 1,000 steps of a hash chain',
      await run(channels.network.connect(closer).close(closer.address, partner.address, proof, '0x')),
    )
    await settle(sides, {
      fromPartner: { ...balanceOf(proof), transferred: proof.transferred + 1000n * 10n ** 12n },
      fromCloser: NOTHING,
      epoch: 0,
    })
  }

  async function unlock(
    { channels, closer, partner }: Sides,
    { fromCloser, epoch }: Ended,
    locks: ReadonlyMap<number, UnlockableLock>,
    numbers: Iterable<number>,
    lists?: readonly (readonly Hex[])[],
  ): Promise<number> {
    return run(
      channels.network
        .connect(partner)
        .unlock(closer.address, partner.address, epoch, fromCloser.locked, NO_LOCKS, encodeLocks({ locks, numbers, lists })),
    )
  }
}

/** Locks of 0.01, 0.02, ... that are good for long. */
function locksOf(count: number): Map<number, UnlockableLock> {
  return new Map(
    Array.from({ length: count }, (_, i) => [
      i,
      { amount: parseEther('0.01') * BigInt(i + 1), expiry: NOW + 30 * 86_400 * 365, secrethash: secretOf(i).secrethash },
    ]),
  )
}
