import { extname } from 'node:path'
import { build, type Rolldown } from 'vite'
import { webConfig } from '../lib/webConfig.ts'

const TYPES: Readonly<Record<string, string>> = { '.html': 'text/html', '.css': 'text/css', '.js': 'text/javascript' }
/** A page that is given keys runs what is served here, speaks with nobody else, and is in no frame. */
const POLICY =
  "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

/** Builds the portal in memory. @returns what answers requests for its files, and nothing for all others. */
export async function buildPortal(): Promise<(request: Request) => Response | undefined> {
  const config = webConfig(new URL('web/', import.meta.url))
  const built = await build({ ...config, logLevel: 'error', build: { ...config.build, write: false } })
  const files = new Map(
    (built as Rolldown.RolldownOutput).output.map((file) => [`/${file.fileName}`, 'code' in file ? file.code : file.source]),
  )
  return ({ method, url }) => {
    const { pathname } = new URL(url)
    const path = pathname === '/' ? '/index.html' : pathname
    const file = files.get(path)
    if (file === undefined || method !== 'GET') return undefined
    // Built files are named by what is in them.
    const isNamedByContent = path.startsWith('/assets/')
    return new Response(typeof file === 'string' ? file : Uint8Array.from(file), {
      headers: {
        'content-type': `${TYPES[extname(path)]}; charset=utf-8`,
        'cache-control': isNamedByContent ? 'public, max-age=31536000, immutable' : 'no-cache',
        'content-security-policy': POLICY,
        'referrer-policy': 'no-referrer',
        'x-content-type-options': 'nosniff',
      },
    })
  }
}
