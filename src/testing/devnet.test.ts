import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { parseEther } from 'ethers'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { proxyTransferContract } from '../contracts/proxyTransfer.ts'
import { startDevnet, type Devnet } from './devnet.ts'

let devnet: Devnet
beforeAll(async () => {
  devnet = await startDevnet()
})
afterAll(() => devnet.stop())

const send = async (chain: Devnet, value = 1n) => chain.accounts[0]!.sendTransaction({ to: chain.accounts[1]!.address, value })

/** Whether something answers at an URL. */
async function answers(url: string): Promise<boolean> {
  const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'eth_chainId', params: [] })
  return fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body }).then(
    (response) => response.ok,
    () => false,
  )
}

describe('a development chain', () => {
  it('has funded accounts that did nothing yet, and both contracts', async () => {
    expect(devnet.accounts).toHaveLength(10)
    for (const account of devnet.accounts) {
      expect(await devnet.provider.getBalance(account.address)).toBe(parseEther('10000'))
      expect(await account.getNonce()).toBe(0)
    }
    expect(await devnet.contracts.dataTrade.grace()).toBe(900n)
    expect(await devnet.provider.getCode(devnet.deployment.registry)).not.toBe('0x')
    expect((await devnet.provider.getNetwork()).chainId).toBe(devnet.chainId)
  })

  it('deploys an exchange with accounts, money and a token', async () => {
    const secrets = [1, 2].map((byte) => new Uint8Array(32).fill(byte))
    const accounts = [{ secret: secrets[0]! }, { secret: secrets[1]!, deposit: 7n, tokens: 9n }]
    const exchange = await devnet.deployExchange({ token: true, accounts })
    expect(exchange.accounts.map(({ account }) => account)).toEqual(['1.2.1', '1.2.2'])
    const contract = proxyTransferContract(exchange.proxyTransfer, devnet.provider)
    expect(await contract.signerOf(2)).toBe(exchange.accounts[1]!.wallet.address)
    const balances = [1, 2].flatMap((of) => [contract.balanceOf(of, 1), contract.balanceOf(of, 2)])
    expect(await Promise.all(balances)).toEqual([0n, 0n, 7n, 9n])
    expect(await contract.tokenOf(2)).toBe(await exchange.token!.getAddress())
    expect(await devnet.provider.getCode(exchange.evidence)).not.toBe('0x')
    expect((await devnet.deployExchange()).token).toBe(undefined)
  })

  it('mines on demand, and moves its clock', async () => {
    const block = await devnet.provider.getBlockNumber()
    await devnet.mine()
    await devnet.mine(3)
    expect(await devnet.provider.getBlockNumber()).toBe(block + 4)
    const time = await devnet.time()
    await devnet.increaseTime(3600)
    expect((await devnet.time()) - time).toBeGreaterThanOrEqual(3600)
    expect((await devnet.time()) - time).toBeLessThan(3660)
  })

  it('goes back to a snapshot, once', async () => {
    const before = await devnet.provider.getBalance(devnet.accounts[1]!.address)
    const snapshot = await devnet.snapshot()
    await (await send(devnet)).wait()
    expect(await devnet.provider.getBalance(devnet.accounts[1]!.address)).toBe(before + 1n)
    await devnet.revert(snapshot)
    expect(await devnet.provider.getBalance(devnet.accounts[1]!.address)).toBe(before)
    await expect(devnet.revert(snapshot)).rejects.toMatchObject({ code: 'BAD_ARGUMENT' })
  })

  it('holds transactions back while automine is off', async () => {
    await devnet.setAutomine(false)
    const sent = await send(devnet)
    expect(await devnet.provider.getTransactionReceipt(sent.hash)).toBeNull()
    await devnet.mine()
    expect((await devnet.provider.getTransactionReceipt(sent.hash))?.status).toBe(1)
    await devnet.setAutomine(true)
    expect((await (await send(devnet)).wait())?.status).toBe(1)
  })

  it('reorganises: blocks change, transactions in them are gone', async () => {
    const before = await devnet.provider.getBalance(devnet.accounts[1]!.address)
    const receipt = await (await send(devnet)).wait()
    await devnet.mine()
    const head = await devnet.provider.getBlockNumber()
    const parent = await devnet.provider.getBlock(head - 2)
    await devnet.reorg(2)
    expect(await devnet.provider.getBlockNumber()).toBe(head)
    expect((await devnet.provider.getBlock(head - 2))?.hash).toBe(parent?.hash)
    expect((await devnet.provider.getBlock(head - 1))?.hash).not.toBe(receipt?.blockHash)
    expect(await devnet.provider.getTransactionReceipt(receipt!.hash)).toBeNull()
    expect(await devnet.provider.getBalance(devnet.accounts[1]!.address)).toBe(before)
  })

  it('gives out tokens', async () => {
    const token = (await devnet.deployToken()).connect(devnet.accounts[2])
    await (await token.mint(devnet.accounts[2]!.address, 5n)).wait()
    await (await token.transfer(devnet.accounts[3]!.address, 2n)).wait()
    expect(await token.balanceOf(devnet.accounts[3]!.address)).toBe(2n)
    expect(await devnet.accounts[4]!.getNonce()).toBe(0)
  })
})

describe('another development chain', () => {
  it('runs beside the first, with its own chain id, accounts and grace', async () => {
    const other = await startDevnet({ chainId: 1234, accounts: 2, grace: 5 })
    expect(other.url).not.toBe(devnet.url)
    expect(other.chainId).toBe(1234n)
    expect(other.accounts).toHaveLength(2)
    expect(await other.contracts.dataTrade.grace()).toBe(5n)
    expect((await other.contracts.dataTrade.eip712Domain()).chainId).toBe(1234n)
    await other.stop()
    expect(await answers(other.url)).toBe(false)
    expect(await answers(devnet.url)).toBe(true)
  })

  it('mines by the clock', async () => {
    const other = await startDevnet({ accounts: 2, blockTime: 1 })
    const sent = await send(other)
    expect(await other.provider.getTransactionReceipt(sent.hash)).toBeNull()
    expect((await sent.wait(1, 5000))?.status).toBe(1)
    await other.stop()
  })

  it('says why it does not start', async () => {
    await expect(startDevnet({ args: ['--no-such-argument'] })).rejects.toMatchObject({
      code: 'CONNECTION_FAILED',
      message: expect.stringContaining('--no-such-argument') as string,
    })
    await expect(startDevnet({ accounts: -1 })).rejects.toMatchObject({ code: 'BAD_ARGUMENT' })
  })

  it.each(['SIGKILL', 'exit'])('ends with its process, by %s', async (how) => {
    const module = JSON.stringify(new URL('./devnet.ts', import.meta.url).href)
    const script = `
      import { startDevnet } from ${module}
      console.log((await startDevnet({ accounts: 1 })).url)
      ${how === 'SIGKILL' ? 'setInterval(() => {}, 1000)' : ''}`
    const child = spawn(process.execPath, ['--conditions=@sluice/source', '--import', 'tsx', '--input-type=module', '--eval', script], {
      cwd: fileURLToPath(new URL('../../', import.meta.url)),
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const exit = once(child, 'exit')
    const [url] = (await once(createInterface(child.stdout), 'line')) as [string]
    if (how === 'SIGKILL') {
      expect(await answers(url)).toBe(true)
      child.kill('SIGKILL')
    }
    await exit
    await expect.poll(() => answers(url), { timeout: 5000 }).toBe(false)
  })
})
