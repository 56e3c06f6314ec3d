/**
 * Pictures: kept once under the SHA-256 of their bytes, and served as what their bytes say that they are.
 * @module
 */
import type { Transaction } from 'kysely'
import { toHex } from '../../../core/bytes.ts'
import { engine } from '../../../core/crypto/engine.ts'
import { SluiceError } from '../../../core/errors.ts'
import type { ExchangeContext } from '../context.ts'
import type { Database, LogoTable } from '../database.ts'

/** Bytes of a picture at most. */
export const MAX_LOGO = 256 * 1024
/** Characters of a picture's base64 at most, with the prefix of a data URL (RFC 2397). */
export const MAX_LOGO_TEXT = Math.ceil(MAX_LOGO / 3) * 4 + 64

/** Reads a picture: base64 (RFC 4648, 4), in a data URL or bare. PNG, JPEG and WebP; no SVG, which may hold scripts. */
export function readLogo(text: string, field = 'logoImgBase64'): LogoTable {
  const wrong = (flaw: string): SluiceError => new SluiceError('BAD_ARGUMENT', `${field} ${flaw}`, { details: { field } })
  const base64 = text.replace(/^data:[\w/+.-]{0,40};base64,/, '')
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(base64) || base64.length % 4 !== 0) throw wrong('must be base64')
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0))
  if (bytes.length > MAX_LOGO) throw wrong(`must have at most ${MAX_LOGO} bytes`)
  // What the client calls it is not believed.
  const type = typeOf(bytes)
  if (type === undefined) throw wrong('must be a PNG, JPEG or WebP picture')
  return { hash: toHex(engine().sha256(bytes)).slice(2), type, bytes }
}

/** Keeps a picture and gives its hash. */
export async function keepLogo(tx: Transaction<Database>, logo: LogoTable): Promise<string> {
  await tx
    .insertInto('des_logos')
    .values(logo)
    .onConflict((conflict) => conflict.doNothing())
    .execute()
  return logo.hash
}

/** Where a picture is served; empty for none. Relative, since the service doesn't know under which name it is reached. */
export function logoUrl(hash: string | null): string {
  return hash === null ? '' : `/market/logo/${hash}`
}

/** The answer with a picture. @throws `NOT_FOUND` */
export async function serveLogo({ sql }: ExchangeContext, hash: string): Promise<Response> {
  const logo = await sql.db.selectFrom('des_logos').selectAll().where('hash', '=', hash).executeTakeFirst()
  if (!logo) throw new SluiceError('NOT_FOUND', 'there is no such picture', { details: { hash } })
  return new Response(Uint8Array.from(logo.bytes), {
    headers: {
      'content-type': logo.type,
      'cache-control': 'public, max-age=31536000, immutable',
      'content-security-policy': "default-src 'none'; sandbox",
      'x-content-type-options': 'nosniff',
    },
  })
}

/** By the first bytes (https://mimesniff.spec.whatwg.org, 6.1). */
function typeOf(bytes: Uint8Array): string | undefined {
  const begins = (start: readonly number[], at = 0): boolean => start.every((byte, index) => bytes[at + index] === byte)
  if (begins([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])) return 'image/png'
  if (begins([0xff, 0xd8, 0xff])) return 'image/jpeg'
  const [riff, webp] = [
    [0x52, 0x49, 0x46, 0x46],
    [0x57, 0x45, 0x42, 0x50],
  ]
  return begins(riff) && begins(webp, 8) ? 'image/webp' : undefined
}
