/**
 * Runs a hostile model: `npm run hostile -- [--model channels|trade] [--runs 1000] [--seed N] [--theme T] [--trace] [--first]`,
 * or without one of the guards against what it must find: `--without stalled-unlock`. Ends with 1 if somebody has lost. What
 * the models do is in `docs/hostile.md`.
 *
 * The model and the library are bundled into one file first: nothing is loaded while a run goes on, so a seed repeats it exactly.
 * @module
 */
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { compile } from './solc.mjs'

const root = fileURLToPath(new URL('../', import.meta.url))

/**
 * Guards that can be taken out, each by a change of what is run; Solidity is compiled anew. Of a model that is not named it is
 * `channels`.
 * @typedef {readonly [file: string, from: string, to: string]} Change
 * @type {Record<string, { readonly model?: 'trade', readonly theme: string, readonly changes: readonly Change[] }>}
 */
const guards = {
  // The key of a list of secrets in the secret registry counts for no secret.
  'list-key': {
    theme: 'lists',
    changes: [
      ['src/contracts/solidity/SecretRegistry.sol', 'mul(time, iszero(shr(255, time)))', 'shr(1, shl(1, time))'],
    ],
  },
  // The steps of a hash chain are signed with a closing or an update, and more steps of a proof replace fewer.
  'signed-steps': {
    theme: 'chains',
    changes: [
      ['src/contracts/solidity/TokenNetwork.sol', 'steps.length == 0 ? bytes32(0) : keccak256(steps)', 'bytes32(steps.length * 0)'],
      ['src/contracts/solidity/TokenNetwork.sol', '&& !_paysMore(shown, fromCloser)', '|| _paysMore(shown, fromCloser) && shown.nonce == 0'],
      ['src/contracts/channelTypes.ts', 'steps.length === 0 ? NO_HASH', 'steps.length >= 0 ? NO_HASH'],
    ],
  },
  // A mediator pays for a secret only while it is certain that it can use it itself.
  'stalled-unlock': {
    theme: 'blind',
    changes: [
      [
        'src/channel/node/locks.ts',
        'isPublicInTime(entry.lock) || sourcesOf(entry).every(isCertain)',
        'entry.lock.index >= 0',
      ],
    ],
  },
  // A step that comes after a closing was signed pays nothing.
  'closing-steps': {
    theme: 'chains',
    changes: [['src/channel/node/streams.ts', 'if (channel.closing) return //', '//']],
  },
  // Secrets in danger are registered in transactions that fit a block.
  'fitting-secrets': {
    theme: 'crowds',
    changes: [
      ['src/channel/node/registrar.ts', 'const fits = sizeFor(await gasLimit())', 'const fits = MOST_TOGETHER; await gasLimit()'],
      ['src/channel/node/registrar.ts', 'if (!hasLeft) most = Math.min(most, Math.max(1, Math.floor(secrets.length / 2)))', ''],
    ],
  },
  // What a node has given back is not told as received.
  'given-back': {
    theme: 'blind',
    changes: [['src/channel/node/locks.ts', 'own || lock.givenBack || !isPublicInTime(lock)', 'own || !isPublicInTime(lock)']],
  },

  // An order's salt commits to what it is for, and a known order is opened again for nothing else.
  'one-thing': {
    model: 'trade',
    theme: 'buyer/token',
    changes: [
      ['src/seller/desk.ts', 'if (payload.terms.salt !== saltFor(payload, item)) {', "if (payload.nonce === '') {"],
      ['src/seller/desk.ts', 'if (given[field] === known[field]) continue', 'if (field.length > 0) continue'],
    ],
  },
  // The same, of the salt alone: unpaid orders are forgotten for want of room.
  'salt': {
    model: 'trade',
    theme: 'buyer/token',
    changes: [['src/seller/desk.ts', 'if (payload.terms.salt !== saltFor(payload, item)) {', "if (payload.nonce === '') {"]],
  },
  // An order costs what the menu says.
  'price': {
    model: 'trade',
    theme: 'buyer/token',
    changes: [['src/seller/desk.ts', 'if (order.price < price) {', 'if (order.price < 0n) {']],
  },
  // A voucher is signed by the order's buyer or its session key.
  'voucher-signer': {
    model: 'trade',
    theme: 'buyer/token',
    changes: [['src/payments/token/seller.ts', 'assertAck(digests, payable, ack)', 'void assertAck']],
  },
  // Data flows as far as the deposit goes.
  'deposit': {
    model: 'trade',
    theme: 'buyer/token',
    changes: [
      ['src/payments/token/seller.ts', 'return coveredBytes(payable.order, purse.deposit)', 'return payable.order.totalData'],
    ],
  },
  // A voucher is durable before its bytes count as paid.
  'durable-voucher': {
    model: 'trade',
    theme: 'buyer/token',
    changes: [['src/payments/token/seller.ts', 'if (purses.has(id)) await store.write([voucherChange])', 'if (purses.has(id)) await keptNow']],
  },
  // A close request is answered in time.
  'close-request': {
    model: 'trade',
    theme: 'buyer/token',
    changes: [['src/payments/token/seller.ts', "case 'CloseRequested':", "case 'CloseRequested':\n        return\n      case 'Never' as never:"]],
  },
  // The unpaid window begins with one chunk.
  'window': {
    model: 'trade',
    theme: 'buyer/token',
    changes: [['src/seller/flow.ts', 'unpaidWindow(Math.floor(paid / granularity), cap)', 'cap']],
  },
  // Another run of live data is not part of an order.
  'live-run': {
    model: 'trade',
    theme: 'buyer/token',
    changes: [['src/seller/desk.ts', 'again: record !== undefined && (!item.live || record.begun)', 'again: false']],
  },
  // A trade of Alipay pays for the order that it names.
  'alipay-order': {
    model: 'trade',
    theme: 'buyer/alipay',
    changes: [['src/payments/alipay.ts', 'if (trade.outTradeNo !== outTradeNo(id)) {', "if (trade.outTradeNo === '') {"]],
  },
  // An acknowledgement counts once its payment has come in by channel.
  'channel-arrival': {
    model: 'trade',
    theme: 'buyer/channel',
    changes: [['src/payments/channel/seller.ts', 'await arrival(purse, due).catch(', 'await Promise.resolve(arrival).then(() => {}).catch(']],
  },
  // A buyer holds each chunk against the root.
  'chunk-proof': {
    model: 'trade',
    theme: 'seller/token',
    changes: [['src/buyer/intake.ts', 'if (verifier && !verifier.verify(', 'if (verifier && frame.index < 0 && !verifier.verify(']],
  },
  // The contract takes vouchers that the order's buyer has signed, for the count that it has signed.
  'signed-count': {
    model: 'trade',
    theme: 'seller/token',
    changes: [
      ['src/contracts/solidity/DataTrade.sol', 'signer == address(0) || (signer != order.ackSigner && signer != order.buyer)', 'signer == address(0) && signer == order.buyer'],
    ],
  },
}

/** Contracts whose bytecode is bundled. */
const deployed = ['SecretRegistry', 'TokenNetworkRegistry', 'TowerDeposit', 'DataTrade']

/**
 * Bundles a model, without a guard if one is named.
 * @param {string} model
 * @param {string | undefined} without
 * @returns {Promise<{ program: string, remove: () => void }>}
 */
async function bundleModel(model, without) {
  const guard = without === undefined ? undefined : guards[without]
  if (without !== undefined && !guard) throw new Error(`--without takes one of ${Object.keys(guards).join(', ')}`)
  const changed = (path, text) => {
    let out = text
    for (const [file, from, to] of guard?.changes ?? []) {
      if (file !== path) continue
      if (out.split(from).length !== 2) throw new Error(`${file} does not have exactly one ${JSON.stringify(from)}`)
      out = out.replace(from, () => to)
    }
    return out
  }
  const solidity = guard?.changes.some(([file]) => file.endsWith('.sol'))
  const compiled = solidity ? compile(deployed.map(name => `src/contracts/solidity/${name}.sol`), changed) : undefined
  // Within the project, so that its packages are found.
  const cache = join(root, 'node_modules', '.cache')
  mkdirSync(cache, { recursive: true })
  const folder = mkdtempSync(join(cache, 'sluice-hostile-'))
  const program = join(folder, 'main.mjs')
  await build({
    absWorkingDir: root,
    entryPoints: [`test/hostile/${model}/main.ts`],
    outfile: program,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    packages: 'external',
    conditions: ['@sluice/source'],
    logLevel: 'error',
    plugins: [
      {
        name: 'without',
        setup({ onLoad }) {
          onLoad({ filter: /\/src\/.*\.ts$/ }, ({ path }) => {
            const file = relative(root, path)
            const name = deployed.find(each => file.endsWith(`/${each[0].toLowerCase()}${each.slice(1)}Bytecode.ts`))
            const text = readFileSync(path, 'utf8')
            const contents = name && compiled ? text.replace(/'0x[0-9a-f]*'/, `'${compiled[name].bytecode}'`) : changed(file, text)
            return { contents, loader: 'ts' }
          })
        },
      },
    ],
  })
  return { program, remove: () => rmSync(folder, { recursive: true, force: true }) }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const args = process.argv.slice(2)
  const option = name => {
    const at = args.indexOf(name)
    return at < 0 ? undefined : args.splice(at, 2)[1]
  }
  const without = option('--without')
  const model = option('--model') ?? guards[without]?.model ?? 'channels'
  if (model !== 'channels' && model !== 'trade') throw new Error('--model is channels or trade')
  const { program, remove } = await bundleModel(model, without)
  if (without !== undefined && !args.includes('--theme')) args.push('--theme', guards[without].theme)
  // Most of what a run makes is soon garbage.
  const child = spawn(process.execPath, ['--max-semi-space-size=64', program, ...args], { cwd: root, stdio: 'inherit' })
  child.on('close', code => {
    remove()
    process.exitCode = code ?? 1
  })
}
