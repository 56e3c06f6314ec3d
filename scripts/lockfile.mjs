/**
 * Keeps package-lock.json complete: every optional package of every platform has its entry.
 *
 * npm leaves out the entries of platforms that it has not installed or could not fetch, and `npm ci` then refuses
 * the lockfile on those platforms, and on newer versions of npm everywhere.
 *
 *     node scripts/lockfile.mjs          add what is missing
 *     node scripts/lockfile.mjs --check  fail when something is missing
 * @module
 */
import { readFileSync, writeFileSync } from 'node:fs'

const file = new URL('../package-lock.json', import.meta.url)
const lock = JSON.parse(readFileSync(file, 'utf8'))

const systems = ['aix', 'android', 'darwin', 'freebsd', 'linux', 'netbsd', 'openbsd', 'openharmony', 'sunos', 'win32']
const processors = { amd64: 'x64', arm: 'arm', arm64: 'arm64', ia32: 'ia32', loong64: 'loong64', mips64el: 'mips64el', ppc64: 'ppc64', riscv64: 'riscv64', s390x: 's390x', x64: 'x64' }

/** The platform that a package such as `@rollup/rollup-linux-arm64-musl` is for, from its name. */
function platformOf(name) {
  const words = name.split('/').at(-1).split('-')
  const os = systems.find(system => words.includes(system))
  const cpu = Object.keys(processors).find(processor => words.includes(processor))
  const libc = os === 'linux' && words.at(-1)?.startsWith('musl') ? 'musl'
    : os === 'linux' && words.at(-1)?.startsWith('gnu') ? 'glibc' : undefined
  return os && cpu ? { os: [os], cpu: [processors[cpu]], ...(libc ? { libc: [libc] } : {}) } : undefined
}

const missing = []
for (const [path, { dev, optionalDependencies = {} }] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(optionalDependencies)) {
    // Where Node would look for it: beside the package's own dependencies, then up the tree.
    const places = [`${path}/node_modules/${name}`]
    for (let at = path; at.includes('node_modules/'); at = at.slice(0, at.lastIndexOf('node_modules/')).replace(/\/$/, '')) {
      places.push(`${at.slice(0, at.lastIndexOf('node_modules/'))}node_modules/${name}`)
    }
    if (places.some(place => place in lock.packages)) continue
    const platform = platformOf(name)
    if (!platform) throw new Error(`${name} (optional, of ${path}) is not in package-lock.json: run \`npm install\``)
    missing.push([`node_modules/${name}`, { version, ...platform, ...(dev ? { dev } : {}), optional: true }])
  }
}

if (missing.length > 0) {
  if (process.argv.includes('--check')) {
    console.error(`package-lock.json misses ${missing.length} packages of other platforms, such as ${missing[0][0]}: run \`node scripts/lockfile.mjs\``)
    process.exit(1)
  }
  const byPath = ([a], [b]) => (a < b ? -1 : 1)
  lock.packages = Object.fromEntries([...Object.entries(lock.packages), ...missing].sort(byPath))
  writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`)
  console.log(`package-lock.json: ${missing.length} packages of other platforms added`)
}
