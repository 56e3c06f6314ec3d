/**
 * The programs of docs/des.md do what the page says: they are taken from it, type-checked, and run as processes.
 * @module
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { getBytes } from 'ethers'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { grapheneKey } from '../../src/core/crypto/graphene/index.ts'
import { startDevnet } from '../../src/testing/devnet.ts'
import { startPostgres } from '../../src/testing/postgres.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))
const OPERATOR_TOKEN = 'operator-of-the-page'
const NAMES = ['newKey', 'exchange', 'accounts', 'publish', 'source', 'buy', 'deploy', 'chain'] as const
type Name = (typeof NAMES)[number]
type Environment = Readonly<Record<string, string>>

let folder: string
/** Of an exchange, a data source and a merchant. */
let keys: readonly { readonly secret: string; readonly publicKey: string }[]
const running = new Set<ChildProcess>()

beforeAll(async () => {
  const page = await readFile(join(root, 'docs/des.md'), 'utf8')
  const programs = [...page.matchAll(/^```ts\n\/\/ (\w+)\.ts[^\n]*\n([\s\S]*?)^```/gm)].map(
    ([, name, text]) => [name!, text!] as const,
  )
  expect(programs.map(([name]) => name).sort()).toEqual([...NAMES].sort())
  await mkdir(join(root, '.sluice'), { recursive: true })
  folder = await mkdtemp(join(root, '.sluice/docs-'))
  for (const [name, text] of programs) await writeFile(join(folder, `${name}.ts`), text)
  keys = await Promise.all([newKey(), newKey(), newKey()])
}, 120_000)
afterEach(async () => {
  await Promise.all([...running].map((child) => end(child, 'SIGKILL')))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** Starts a program; `line` is what it prints. */
function start(name: Name, environment: Environment, args: readonly string[] = []) {
  const path = join(folder, `${name}.ts`)
  const child = spawn(process.execPath, ['--conditions=@sluice/source', '--import', 'tsx', path, ...args], {
    cwd: folder,
    env: { PATH: process.env.PATH, HOME: process.env.HOME, ...environment },
  })
  running.add(child)
  let out = ''
  let err = ''
  child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()))
  const ended = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)))
  const failed = (): Error => new Error(`${name}.ts said ${out}${err}`)
  return {
    child,
    /** What a long-running program prints when it is ready. */
    async line(pattern: RegExp): Promise<RegExpExecArray> {
      for (let over = false; ; ) {
        const found = pattern.exec(out)
        if (found) return found
        if (over) throw failed()
        over = await Promise.race([
          ended.then(() => true),
          new Promise<false>((resolve) => child.stdout.once('data', () => resolve(false))),
        ])
      }
    },
    /** All that a program prints that ends by itself. */
    async output(): Promise<string> {
      if ((await ended) !== 0) throw failed()
      running.delete(child)
      return out
    },
  }
}

/** @returns how it ended. */
async function end(child: ChildProcess, signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
  running.delete(child)
  if (child.exitCode !== null) return child.exitCode
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve))
  child.kill(signal)
  return ended
}

async function freePort(): Promise<string> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return `${port}`
}

async function newKey(): Promise<{ secret: string; publicKey: string }> {
  const [secret = '', publicKey = ''] = (await start('newKey', {}).output()).trim().split(' ')
  return { secret, publicKey }
}

/** Has the accounts of the source and the merchant opened, and says what each program is told. */
async function people(database: string) {
  const [des, source, merchant] = keys as [(typeof keys)[0], (typeof keys)[0], (typeof keys)[0]]
  const exchange = { DATABASE: database, DES_KEY: des.secret, OPERATOR_TOKEN, TRIAL: '1', PORT: '0' }
  const opened = await start('accounts', exchange, [source.publicKey, merchant.publicKey]).output()
  const accounts = opened
    .trim()
    .split('\n')
    .map((line) => line.split(' ')[0]!)
  expect(accounts).toHaveLength(2)
  return {
    exchange,
    source: { ACCOUNT: accounts[0]!, KEY: source.secret, DES_PUBLIC_KEY: des.publicKey, OPERATOR_TOKEN },
    merchant: { ACCOUNT: accounts[1]!, KEY: merchant.secret },
  }
}

/** Publishes by one address, sells by another, buys by the first. @returns the request's name. */
async function trade(by: readonly [string, string], { source, merchant }: Awaited<ReturnType<typeof people>>): Promise<string> {
  expect(await start('publish', { ...source, EXCHANGE: by[0] }).output()).toBe('product 1\n')
  const seller = start('source', { ...source, EXCHANGE: by[1], PORT: await freePort() })
  await seller.line(/^online/)
  const bought = await start('buy', { ...merchant, EXCHANGE: by[0] }).output()
  expect(bought).toContain(`${source.ACCOUNT} SUCCESS { result: true }\n`)
  expect(bought).toContain('spent 50000\n')
  expect(await end(seller.child)).toBe(0)
  return /request ([0-9a-f]{64})/.exec(bought)![1]!
}

const exchangeAt = /^exchange (1\.2\.\d+) at (http:\S+)\n/

test('the programs have right types', async () => {
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify({ extends: '../../tsconfig.json', include: ['*.ts'] }))
  const child = spawn(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', folder], { cwd: root })
  let out = ''
  child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()))
  await new Promise((resolve) => child.once('exit', resolve))
  expect(out).toBe('')
}, 120_000)

test('one exchange in a folder: an answer is bought, and is still there in a copy of the folder', async () => {
  const cast = await people(join(folder, 'exchange'))
  const first = start('exchange', cast.exchange)
  const [, account, url] = await first.line(exchangeAt)
  const request = await trade([url!, url!], cast)
  const ready = await fetch(`${url}/ready`)
  expect([ready.status, await ready.json()]).toEqual([200, { status: 'ready', checks: { database: 'ok' } }])
  expect(await (await fetch(`${url}/health`)).json()).toEqual({ status: 'live' })
  expect(await end(first.child)).toBe(0)

  await cp(join(folder, 'exchange'), join(folder, 'copy'), { recursive: true })
  const second = start('exchange', { ...cast.exchange, DATABASE: join(folder, 'copy') })
  const [, again, copyUrl] = await second.line(exchangeAt)
  expect(again).toBe(account)
  const result = (await (await fetch(`${copyUrl}/api/request/${request}`)).json()) as { status: string; datasources: object[] }
  expect(result).toMatchObject({ status: 'FINISHED', datasources: [{ status: 'SUCCESS' }] })
  expect(await end(second.child)).toBe(0)
}, 180_000)

test('two exchanges on one PostgreSQL are one', async () => {
  const postgres = await startPostgres()
  try {
    const cast = await people(await postgres.createDatabase())
    const [one, other] = [start('exchange', cast.exchange), start('exchange', cast.exchange)]
    const [, account, url] = await one.line(exchangeAt)
    const [, same, otherUrl] = await other.line(exchangeAt)
    expect(same).toBe(account)
    const request = await trade([url!, otherUrl!], cast)
    expect(await end(one.child)).toBe(0)
    const result: unknown = await (await fetch(`${otherUrl}/api/request/${request}`)).json()
    expect(result).toMatchObject({ status: 'FINISHED', datasources: [{ status: 'SUCCESS' }] })
    expect(await end(other.child)).toBe(0)
  } finally {
    await postgres.stop()
  }
}, 180_000)

test('contracts are deployed, and an exchange stands on them', async () => {
  const devnet = await startDevnet()
  try {
    const environment = { RPC: devnet.url, SECRET: devnet.accounts[0]!.privateKey }
    const CONTRACTS = await start('deploy', environment).output()
    const exchange = start('chain', { ...environment, CONTRACTS, DATABASE: join(folder, 'chain'), OPERATOR_TOKEN, PORT: '0' })
    const [, account, url] = await exchange.line(exchangeAt)
    expect(account).toBe('1.2.1')
    expect((await fetch(`${url}/ready`)).status).toBe(200)
    await devnet.mine(12)
    const { publicKey } = grapheneKey(getBytes(devnet.accounts[0]!.privateKey))
    const known = async (): Promise<string> => (await fetch(`${url}/api/datasource/activePublicKey?accountId=1.2.1`)).text()
    await expect.poll(known, { timeout: 30_000 }).toBe(publicKey)
    expect(await end(exchange.child)).toBe(0)
  } finally {
    await devnet.stop()
  }
}, 180_000)
