import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startDevnet } from 'sluice-sdk/testing'
import { afterEach, expect, test } from 'vitest'

/** An example that runs as users run it. */
interface Run {
  readonly child: ChildProcess
  /** What it has printed so far. */
  text(): string
  /** Resolves as soon as it has printed something. */
  printed(pattern: RegExp): Promise<void>
  /** Resolves with the exit code, or the name of the signal. */
  readonly ended: Promise<number | string>
}

const running = new Set<ChildProcess>()
afterEach(() => {
  for (const child of running) child.kill('SIGKILL')
})

function run(path: string, args: readonly string[] = [], env: NodeJS.ProcessEnv = {}): Run {
  const program = fileURLToPath(new URL(`../../examples/${path}`, import.meta.url))
  const child = spawn(process.execPath, ['--conditions=@sluice/source', '--import', 'tsx', program, ...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  running.add(child)
  let output = ''
  let look = (): void => {}
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString()
      look()
    })
  }
  const ended = new Promise<number | string>((resolve) => {
    child.once('close', (code, signal) => {
      running.delete(child)
      resolve(code ?? signal ?? 'none')
    })
  })
  return {
    child,
    ended,
    text: () => output,
    printed: (pattern) =>
      new Promise((resolve) => {
        look = () => pattern.test(output) && resolve()
        look()
      }),
  }
}

test('the demo sells, resumes, refuses, and accounts for every wei', async () => {
  const demo = run('demo.ts')
  const code = await demo.ended
  const text = demo.text()
  expect(code, text).toBe(0)
  expect(text).toMatch(/found .* in the registry/)
  expect(text.match(/verified +SHA-256/g)).toHaveLength(2)
  expect(text).toMatch(/link +lost[^]*link +resumed at byte [1-9][\d,]+/)
  expect(text).toMatch(/refused .* is not what the Merkle root promised/)
  expect(text).toMatch(/sum +0\.009 +0\.006 +0\.003 +152 +622,296/)
  expect(text.match(/✓/g)).toHaveLength(2)
})

test('the demo says what is wrong with a file, and fails', async () => {
  const demo = run('demo.ts', ['/nowhere/weather.csv'])
  expect(await demo.ended).toBe(1)
  expect(demo.text()).toMatch(/✗ .*\/nowhere\/weather\.csv/)
})

test('a buyer that was killed goes on where it was', async () => {
  const devnet = await startDevnet()
  const folder = await mkdtemp(join(tmpdir(), 'sluice-examples-'))
  try {
    const data = Uint8Array.from({ length: 8_000_000 }, (_, i) => (i * 31) >> 7)
    const original = join(folder, 'original')
    const bought = join(folder, 'bought')
    await writeFile(original, data)
    const { dataTrade, registry } = devnet.deployment
    const as = (account: number, name: string): NodeJS.ProcessEnv => ({
      RPC_URL: devnet.url,
      DATA_TRADE: dataTrade,
      REGISTRY: registry,
      PRIVATE_KEY: devnet.accounts[account]!.privateKey,
      STORE: join(folder, name),
      PORT: '0',
    })
    const seller = run('data-trade/seller.ts', [original], as(0, 'seller'))
    const first = run('data-trade/buyer.ts', [bought], as(1, 'buyer'))
    await first.printed(/\d %/)
    first.child.kill('SIGKILL')
    expect(await first.ended).toBe('SIGKILL')
    expect((await readFile(bought)).length).toBeLessThan(data.length)

    const second = run('data-trade/buyer.ts', [bought], as(1, 'buyer'))
    expect(await second.ended, second.text()).toBe(0)
    expect(second.text()).toMatch(/goes on with order/)
    expect(Buffer.compare(await readFile(bought), data)).toBe(0)

    seller.child.kill('SIGTERM')
    expect(await seller.ended, seller.text()).toBe(0)
    const price = 3n * 10n ** 15n
    const contract = devnet.contracts.dataTrade
    const settled = await contract.queryFilter(contract.filters.Settled())
    expect(settled.map(({ args }) => args.paid)).toEqual([price])
    expect(await contract.queryFilter(contract.filters.OrderCreated())).toHaveLength(1)
    expect(await devnet.provider.getBalance(dataTrade)).toBe(0n)
  } finally {
    await devnet.stop()
    await rm(folder, { recursive: true })
  }
}, 120_000)

test('five nodes pay each other, and a cheat is answered', async () => {
  const network = run('payment-network/run.ts')
  const code = await network.ended
  const text = network.text()
  expect(code, text).toBe(0)
  expect(text).toMatch(/Ann → Ben 0\.1 ETH directly/)
  expect(text).toMatch(/Ann → Eve 0\.05 ETH through Ben, Cleo, Dan/)
  expect(text).toMatch(/Ann → Dan 1\.0 ETH through Ben, Cleo, Eve/)
  expect(text).toMatch(/✓ the watchtower has shown it/)
  expect(text).toMatch(/✓ the contract is empty/)
}, 180_000)
