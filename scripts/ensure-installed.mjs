/**
 * Installs the dependencies when the lockfile asks for packages that are not there, so that `npm test` and
 * `npm run demo` work on a fresh clone. Needs nothing but Node and npm.
 * @module
 */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = new URL('../', import.meta.url)

/** The packages of a lockfile, or none. npm keeps a copy of what it installed in node_modules. */
function packagesOf(path) {
  try {
    return JSON.parse(readFileSync(new URL(path, root), 'utf8')).packages
  } catch {
    return {}
  }
}

/** Whether what is installed is what the lockfile names; packages of other platforms may be absent. */
function isInstalled() {
  const installed = packagesOf('node_modules/.package-lock.json')
  return Object.entries(packagesOf('package-lock.json')).every(([path, wanted]) => {
    const found = installed[path]
    return path === '' || (found ? found.version === wanted.version : wanted.optional === true || wanted.peer === true)
  })
}

if (!isInstalled()) {
  console.log('Installing the dependencies that package-lock.json names (npm ci)…')
  // npm tells its scripts where it is; without it, this file was started by hand.
  const npm = process.env.npm_execpath
  const [command, args] = npm?.endsWith('js') ? [process.execPath, [npm]] : ['npm', []]
  const { status, error } = spawnSync(command, [...args, 'ci', '--no-audit', '--no-fund', '--prefer-offline'], {
    cwd: fileURLToPath(root),
    stdio: 'inherit',
    shell: command === 'npm' && process.platform === 'win32',
  })
  if (error) console.error(`Could not start npm: ${error.message}`)
  process.exitCode = status ?? 1
}
