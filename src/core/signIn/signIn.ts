import { createHash, createHmac } from 'node:crypto'
import { sql as statement } from 'kysely'
import * as v from 'valibot'
import { randomBytes, toHex } from '../bytes.ts'
import { systemClock, type Clock } from '../clock.ts'
import { assertArgument, SluiceError } from '../errors.ts'
import { bearerOf, sameSecret } from '../http/guards.ts'
import { route, type Route } from '../http/route.ts'
import { migrate } from '../sql/migrate.ts'
import type { Sql } from '../sql/sql.ts'
import { migrations } from './migrations.ts'

/** What somebody says who signs in. */
export interface SignedChallenge {
  readonly account: string
  /** What was signed, in UTF-8: a challenge of this service for this account, in time and not used before. */
  readonly text: string
  readonly signature: string
}

/** Options of {@link createSignIn}; `U` is a JSON value. */
export interface SignInOptions<DB, U> {
  readonly sql: Sql<DB>
  /** Where the service is, such as `https://des.example`: people read it in what they sign. */
  readonly origin: string
  /** Who has signed; undefined if it is not the account's signature, or nobody has that account. Kept with the token. */
  readonly verify: (challenge: SignedChallenge) => Promise<U | undefined>
  /** Milliseconds that a token lasts. @default 43200000, 12 hours */
  readonly lasts?: number | undefined
  /** Milliseconds that a challenge is good for. @default 300000, 5 minutes */
  readonly challengeLasts?: number | undefined
  /** @default systemClock */
  readonly clock?: Clock | undefined
}

/** Sign-in by a signed challenge. */
export interface SignIn<U> {
  /** `POST /signin/challenge`, `POST /signin/token`, `POST /signin/out`. */
  readonly routes: readonly Route[]
  /** Who has the token of a request; undefined for none, or one that has ended. */
  authenticate(request: Request): Promise<U | undefined>
}

/** Tokens that an account may have; the oldest one ends when there is another. */
const MAX_TOKENS = 32
/** Milliseconds between two removals of what has ended. */
const PRUNE_INTERVAL = 60_000

const accountIn = v.pipe(
  v.string(),
  v.regex(/^[\x21-\x7e]{1,128}$/, 'must have 1 to 128 visible ASCII characters'),
  v.title('Account'),
)
const timeOut = v.pipe(v.number(), v.integer(), v.description('Milliseconds since 1970'))
const challengeBody = v.strictObject({ account: accountIn })
const challengeAnswer = v.object({
  text: v.pipe(v.string(), v.description('What the account signs, in UTF-8')),
  expiresAt: timeOut,
})
const tokenBody = v.strictObject({
  account: accountIn,
  text: v.pipe(v.string(), v.maxLength(2048), v.description('As the challenge gave it')),
  signature: v.pipe(v.string(), v.minLength(1), v.maxLength(1024)),
})
const tokenAnswer = v.object({ token: v.pipe(v.string(), v.description('A bearer token')), expiresAt: timeOut })

/**
 * Opens the sign-in of a database, laying its tables if need be.
 *
 * A challenge is not stored: it carries a code (HMAC) by which any process that shares the database knows its own. So nobody
 * can fill the tables, or push out others' challenges, by asking for them. Its nonce is stored when it is used.
 */
export async function createSignIn<DB, U>(options: SignInOptions<DB, U>): Promise<SignIn<U>> {
  const { sql, origin, verify, lasts = 43_200_000, challengeLasts = 300_000, clock = systemClock } = options
  assertArgument(
    URL.canParse(origin) && /^https?:/.test(origin) && new URL(origin).origin === origin,
    'origin',
    'one such as https://des.example',
  )
  for (const [name, value] of Object.entries({ lasts, challengeLasts })) {
    assertArgument(Number.isSafeInteger(value) && value > 0, name, 'a whole number above zero')
  }
  await migrate(sql, 'signIn', migrations)
  await statement`insert into sign_in_secret values (1, ${randomBytes(32)}) on conflict do nothing`.execute(sql.db)
  const { rows } = await statement<{ secret: Uint8Array }>`select secret from sign_in_secret`.execute(sql.db)
  const { secret } = rows[0]!
  let nextPrune = 0

  /** What people read and sign (after EIP-4361). */
  const textOf = (account: string, random: string, issuedAt: number): string => {
    const code = createHmac('sha256', secret).update(`${origin} ${account} ${random} ${issuedAt}`).digest('hex').slice(0, 32)
    return [
      `${new URL(origin).host} wants you to sign in with your account:`,
      account,
      '',
      `Sign this only if you are signing in at ${origin}. It moves no money.`,
      '',
      `URI: ${origin}`,
      'Version: 1',
      `Nonce: ${random}${code}`,
      `Issued At: ${new Date(issuedAt).toISOString()}`,
      `Expiration Time: ${new Date(issuedAt + challengeLasts).toISOString()}`,
    ].join('\n')
  }

  /** The nonce and end of a challenge, if it is one of this service, for this account and in time. */
  const readChallenge = (account: string, text: string): { nonce: string; expiresAt: number } | undefined => {
    const [, nonce = '', time = ''] = /^Nonce: ([0-9a-f]{64})\nIssued At: (.{24})$/m.exec(text) ?? []
    const issuedAt = Date.parse(time)
    if (Number.isNaN(issuedAt) || !sameSecret(text, textOf(account, nonce.slice(0, 32), issuedAt))) return undefined
    const expiresAt = issuedAt + challengeLasts
    return clock.now() < expiresAt ? { nonce, expiresAt } : undefined
  }

  const prune = async (): Promise<void> => {
    const now = clock.now()
    if (now < nextPrune) return
    nextPrune = now + PRUNE_INTERVAL
    await statement`delete from sign_in_used where expires_at <= ${now}`.execute(sql.db)
    await statement`delete from sign_in_tokens where expires_at <= ${now}`.execute(sql.db)
  }

  const routes = [
    route({
      method: 'post',
      path: '/signin/challenge',
      id: 'getChallenge',
      summary: 'A text to sign',
      access: 'public',
      body: challengeBody,
      answer: challengeAnswer,
      handle({ body: { account } }) {
        const now = clock.now()
        return { text: textOf(account, toHex(randomBytes(16)).slice(2), now), expiresAt: now + challengeLasts }
      },
    }),
    route({
      method: 'post',
      path: '/signin/token',
      id: 'signIn',
      summary: 'A token for a signed text, which is good once',
      access: 'public',
      body: tokenBody,
      answer: tokenAnswer,
      problems: [401],
      async handle({ body: { account, text, signature } }) {
        const challenge = readChallenge(account, text)
        if (!challenge) throw unusable()
        const user = await verify({ account, text, signature })
        if (user === undefined)
          throw new SluiceError('UNAUTHENTICATED', 'signature is not one of the account', { details: { name: 'signature' } })
        await prune()
        const token = toHex(randomBytes(32)).slice(2)
        const now = clock.now()
        const expiresAt = now + lasts
        await sql.transaction(async (tx) => {
          const { numAffectedRows } = await statement`insert into sign_in_used (nonce, expires_at)
            values (${challenge.nonce}, ${challenge.expiresAt}) on conflict do nothing`.execute(tx)
          if (numAffectedRows === 0n) throw unusable()
          await statement`delete from sign_in_tokens where hash in (
            select hash from sign_in_tokens where account = ${account} order by created_at desc, hash offset ${
              MAX_TOKENS - 1
            })`.execute(tx)
          await statement`insert into sign_in_tokens (hash, account, who, created_at, expires_at)
            values (${hashOf(token)}, ${account}, ${JSON.stringify(user)}::jsonb, ${now}, ${expiresAt})`.execute(tx)
        })
        return { token, expiresAt }
      },
    }),
    route({
      method: 'post',
      path: '/signin/out',
      id: 'signOut',
      summary: 'Ends the token that the request brings',
      access: 'user',
      answer: v.object({}),
      async handle({ request }) {
        await statement`delete from sign_in_tokens where hash = ${hashOf(bearerOf(request)!)}`.execute(sql.db)
        return {}
      },
    }),
  ]

  return {
    routes,
    async authenticate(request) {
      const token = bearerOf(request)
      // What is none of ours is not worth a question.
      if (token === undefined || !/^[0-9a-f]{64}$/.test(token)) return undefined
      const { rows: found } = await statement<{ who: U }>`select who from sign_in_tokens
        where hash = ${hashOf(token)} and expires_at > ${clock.now()}`.execute(sql.db)
      return found[0]?.who
    },
  }
}

/** Only this is stored: who reads the database can't use what he finds. */
function hashOf(token: string): string {
  return createHash('sha256').update(token).digest('hex')
}

function unusable(): SluiceError {
  return new SluiceError('UNAUTHENTICATED', 'text is no challenge of this service for the account, or was used, or is too old', {
    details: { name: 'text' },
  })
}
