/**
 * Runs everything that CI checks, in the order in which mistakes are cheapest to find, and stops at the first failure.
 * @module
 */
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const steps = {
  'entry points': 'node scripts/entries.mjs --check',
  'lockfile': 'node scripts/lockfile.mjs --check',
  'lint': 'npm run lint',
  'types': 'npm run types',
  'contracts': 'node scripts/compile.mjs --check',
  'build': 'npm run build',
  'package': 'npm run package',
  'size': 'npm run size',
  'unused': 'npm run unused',
  'reference': 'npm run docs',
  'tests': 'npm test',
  'gas': 'npm run gas -- --check',
  'packed': 'npm run pack-test',
}

const root = fileURLToPath(new URL('../', import.meta.url))
for (const [name, command] of Object.entries(steps)) {
  console.log(`\n▸ ${name}: ${command}`)
  const started = performance.now()
  const { status } = spawnSync(command, { cwd: root, stdio: 'inherit', shell: true })
  if (status !== 0) {
    console.error(`\n✗ ${name} failed: ${command}`)
    process.exit(status ?? 1)
  }
  console.log(`✓ ${name} (${((performance.now() - started) / 1000).toFixed(1)} s)`)
}
console.log('\nAll checks passed')
