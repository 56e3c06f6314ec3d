/**
 * Runs the hostile model of payment channels: `npm run hostile -- [--runs 1000] [--seed N] [--theme T] [--trace] [--first]`,
 * or without one of the guards against what it must find: `--without stalled-unlock`. Ends with 1 if somebody has lost.
 *
 * | guard | without it |
 * | --- | --- |
 * | `list-key` | the key of a list of secrets passes for a secrethash: a mediator pays a lock that it can't claim |
 * | `signed-steps` | steps of a hash chain are taken out of what towers and relayers send |
 * | `stalled-unlock` | a mediator that sees no blocks pays for a secret that is worth nothing to it any more |
 * | `closing-steps` | steps that come when a closing is signed are told as paid, and never are |
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
 * Guards that can be taken out, each by a change of what is run; Solidity is compiled anew.
 * @typedef {readonly [file: string, from: string, to: string]} Change
 * @type {Record<string, { readonly says: string, readonly theme: string, readonly changes: readonly Change[] }>}
 */
const guards = {
  'list-key': {
    says: 'the key of a list of secrets in the secret registry counts for no secret',
    theme: 'lists',
    changes: [
      ['src/contracts/solidity/SecretRegistry.sol', 'mul(time, iszero(shr(255, time)))', 'shr(1, shl(1, time))'],
    ],
  },
  'signed-steps': {
    says: 'the steps of a hash chain are signed with a closing or an update, and more steps of a proof replace fewer',
    theme: 'chains',
    changes: [
      ['src/contracts/solidity/TokenNetwork.sol', 'steps.length == 0 ? bytes32(0) : keccak256(steps)', 'bytes32(steps.length * 0)'],
      ['src/contracts/solidity/TokenNetwork.sol', '&& !_paysMore(shown, fromCloser)', '|| _paysMore(shown, fromCloser) && shown.nonce == 0'],
      ['src/contracts/channelTypes.ts', 'steps.length === 0 ? NO_HASH', 'steps.length >= 0 ? NO_HASH'],
    ],
  },
  'stalled-unlock': {
    says: 'a mediator pays for a secret only while it is certain that it can use it itself',
    theme: 'blind',
    changes: [
      [
        'src/channel/node/locks.ts',
        'isPublicInTime(entry.lock) || sourcesOf(entry).every(isCertain)',
        'entry.lock.index >= 0',
      ],
    ],
  },
  'closing-steps': {
    says: 'a step that comes after a closing was signed pays nothing',
    theme: 'chains',
    changes: [['src/channel/node/streams.ts', 'if (channel.closing) return //', '//']],
  },
}

/** Contracts whose bytecode is bundled. */
const deployed = ['SecretRegistry', 'TokenNetworkRegistry', 'TowerDeposit']

/**
 * Bundles the model, without a guard if one is named.
 * @param {string | undefined} without
 * @returns {Promise<{ program: string, remove: () => void }>}
 */
async function bundleModel(without) {
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
    entryPoints: ['test/hostile/channels/main.ts'],
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
  const at = args.indexOf('--without')
  const without = at < 0 ? undefined : args.splice(at, 2)[1]
  const { program, remove } = await bundleModel(without)
  if (without !== undefined && !args.includes('--theme')) args.push('--theme', guards[without].theme)
  // Most of what a run makes is soon garbage.
  const child = spawn(process.execPath, ['--max-semi-space-size=64', program, ...args], { cwd: root, stdio: 'inherit' })
  child.on('close', code => {
    remove()
    process.exitCode = code ?? 1
  })
}
