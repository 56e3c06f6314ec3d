/**
 * Compiles the contracts and writes what TypeScript needs of them: ABI constants, bytecode, types.
 *
 *     node scripts/compile.mjs          write
 *     node scripts/compile.mjs --check  fail when something written is not what the sources compile to
 * @module
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Interface } from 'ethers'
import { runTypeChain } from 'typechain'
import { compile } from './solc.mjs'

const root = fileURLToPath(new URL('../', import.meta.url))
const notice = '// Written by scripts/compile.mjs. Do not edit.\n'

/** What is deployed: its TypeScript goes to `folder`. */
const contracts = [
  ...[
    ...['DataTrade', 'Evidence', 'ProxyTransfer', 'Registry'],
    ...['SecretRegistry', 'TokenNetwork', 'TokenNetworkRegistry', 'TowerDeposit'],
  ].map(name => ({
    name,
    source: `src/contracts/solidity/${name}.sol`,
    folder: 'src/contracts/generated',
    // Its registry deploys it.
    deployable: name !== 'TokenNetwork',
    // Nodes read it from the start, and call it later if ever.
    apart: name === 'TokenNetwork',
  })),
  { name: 'TestToken', source: 'src/testing/solidity/TestToken.sol', folder: 'src/testing/generated', deployable: true },
]
/** What only tests deploy: every contract of it goes to one file of JSON. */
const hostile = { source: 'test/solidity/Hostile.sol', file: 'test/fixtures/contracts/hostile.json' }

const compiled = compile([...contracts.map(({ source }) => source), hostile.source])

/** @type {Map<string, string>} path to text */
const files = new Map()
for (const { name, folder, deployable, apart } of contracts) {
  const { abi, bytecode } = compiled[name]
  const stem = name[0].toLowerCase() + name.slice(1)
  files.set(
    `${folder}/${stem}Abi.ts`,
    `${notice}\n/** The ABI of \`${name}.sol\`. */\nexport const ${stem}Abi = ${literal(abi)} as const\n`,
  )
  const humanReadable = 'in ethers\' human-readable form: a quarter of the size, for what runs in pages. */'
  if (apart) {
    files.set(
      `${folder}/${stem}ViewFragments.ts`,
      `${notice}\n/** What \`${name}.sol\` tells, events and views, ${humanReadable}\nexport const ${stem}ViewFragments = ${fragments(abi.filter(isView))} as const\n`,
    )
    files.set(
      `${folder}/${stem}CallFragments.ts`,
      `${notice}\n/** What \`${name}.sol\` does and why it refuses, ${humanReadable}\nexport const ${stem}CallFragments = ${fragments(abi.filter(entry => !isView(entry)))} as const\n`,
    )
  } else if (folder.startsWith('src/contracts')) files.set(
    `${folder}/${stem}Fragments.ts`,
    `${notice}\n/** The ABI of \`${name}.sol\` ${humanReadable}\nexport const ${stem}Fragments = ${fragments(abi)} as const\n`,
  )
  if (deployable) files.set(
    `${folder}/${stem}Bytecode.ts`,
    `${notice}\n/** What deploys \`${name}.sol\`. */\nexport const ${stem}Bytecode =\n  '${bytecode}'\n`,
  )
}
const forTests = Object.fromEntries(
  Object.entries(compiled)
    .filter(([, { file, bytecode }]) => file === hostile.source && bytecode !== '0x')
    .map(([name, { abi, bytecode }]) => [name, { abi, bytecode }]),
)
files.set(hostile.file, `${JSON.stringify(forTests, null, 1)}\n`)
for (const [path, text] of await types()) files.set(path, text)

let stale = 0
for (const [path, text] of files) {
  const file = join(root, path)
  let before
  try {
    before = readFileSync(file, 'utf8')
  } catch {
    before = undefined
  }
  if (before === text) continue
  stale++
  if (process.argv.includes('--check')) {
    console.error(`${path} is not what the contracts compile to`)
  } else {
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, text)
    console.log(`${path}: ${text.length} characters`)
  }
}
if (stale > 0 && process.argv.includes('--check')) {
  console.error('run `node scripts/compile.mjs`')
  process.exit(1)
}
if (stale === 0) console.log('everything is up to date')

/** Types for ethers, by TypeChain: interfaces only. Its factories would carry the bytecode along. */
async function types() {
  const folder = mkdtempSync(join(tmpdir(), 'typechain-'))
  try {
    const inputs = contracts.map(({ name }) => {
      const file = join(folder, `${name}.json`)
      writeFileSync(file, JSON.stringify(compiled[name].abi))
      return file
    })
    await runTypeChain({ cwd: folder, filesToProcess: inputs, allFiles: inputs, outDir: join(folder, 'out'), target: 'ethers-v6' })
    const common = 'src/contracts/generated/types/common.ts'
    return [[common, 'common'], ...contracts.map(({ name, folder }) => [`${folder}/types/${name}.ts`, name])].map(([path, name]) => {
      const text = readFileSync(join(folder, 'out', `${name}.ts`), 'utf8')
      const from = relative(dirname(path), common)
      return [path, notice + text.replaceAll('"./common"', `"${from.startsWith('.') ? from : `./${from}`}"`)]
    })
  } finally {
    rmSync(folder, { recursive: true })
  }
}

function isView({ type, stateMutability }) {
  return type === 'event' || stateMutability === 'view' || stateMutability === 'pure'
}

/** An ABI as a list of signatures. */
function fragments(abi) {
  return `[\n${new Interface(abi).format().filter(entry => !entry.startsWith('constructor')).map(entry => `  '${entry}',`).join('\n')}\n]`
}

/** A TypeScript literal of plain data, an ABI entry per line. */
function literal(abi) {
  return `[\n${abi.map(entry => `  ${JSON.stringify(entry)},`).join('\n')}\n]`
}
