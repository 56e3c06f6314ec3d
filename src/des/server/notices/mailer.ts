import type { SendMailOptions } from 'nodemailer'
import type { Options as SmtpOptions } from 'nodemailer/lib/smtp-transport/index.js'
import type { Clock } from '../../../core/clock.ts'
import { assertArgument, SluiceError } from '../../../core/errors.ts'
import type { JobHandler } from '../../../core/jobs/index.ts'
import type { Logger } from '../../../core/log.ts'
import { importPackage } from '../../../core/platform/loadPackage.ts'
import type { Sql } from '../../../core/sql/index.ts'
import type { Database } from '../database.ts'
import { textOf } from './texts.ts'

/** The kind of the jobs that mail a notice; their payload is its number as text. */
export const MAIL_JOB = 'des/mail'

/** How mails are sent. */
export interface MailOptions {
  /** The SMTP server, as nodemailer takes it: `{ host, port, secure, auth: { user, pass } }`. */
  readonly transport: SmtpOptions
  /** Address that the mails come from. */
  readonly from: string
}

/** Options of {@link createMailer}. */
export interface MailerOptions extends MailOptions {
  readonly sql: Sql<Database>
  readonly clock: Clock
  readonly log: Logger
}

/** Mails notices. */
export interface Mailer {
  /** Handles the jobs of {@link MAIL_JOB}. */
  readonly deliver: JobHandler
  /** Ends its connections. */
  close(): void
}

/** Milliseconds that a mail server may take to be reached, and between two of its answers. */
const PATIENCE = 30_000

/**
 * Opens a way to a mail server (RFC 5321).
 *
 * A notice that a server took is not sent again. One that it took without our learning of it may be: it then has the same
 * Message-ID, by which mail programs know it.
 * @throws `BAD_ARGUMENT` unless `from` is an address.
 */
export function createMailer({ sql, clock, transport, from, log }: MailerOptions): Mailer {
  const domain = /^[^\s@<>"]+@([\w.-]+)$/.exec(from)?.[1]
  assertArgument(domain !== undefined, 'from', 'an e-mail address')
  const open = async () => {
    const { createTransport } = await importPackage(() => import('nodemailer'), 'nodemailer')
    return createTransport({
      connectionTimeout: PATIENCE,
      greetingTimeout: PATIENCE,
      socketTimeout: PATIENCE,
      ...transport,
      pool: true,
      // A mail has nothing to fetch: names of products come from strangers.
      disableFileAccess: true,
      disableUrlAccess: true,
    })
  }
  let sender: ReturnType<typeof open> | undefined
  return {
    async deliver({ payload }) {
      const id = BigInt(payload as string)
      const notice = await sql.db
        .selectFrom('des_notices as n')
        .innerJoin('des_merchants as m', 'm.id', 'n.merchant')
        .select(['n.kind', 'n.details', 'n.mailed_at', 'm.email'])
        .where('n.id', '=', id)
        .executeTakeFirst()
      // The address is that of now: one that was taken back gets nothing.
      if (!notice || notice.mailed_at !== null || notice.email === null) return
      const mail: SendMailOptions = {
        from,
        to: { name: '', address: notice.email },
        messageId: `<notice-${id}@${domain}>`,
        headers: { 'Auto-Submitted': 'auto-generated' },
        ...textOf(notice),
      }
      try {
        await (await (sender ??= open())).sendMail(mail)
      } catch (cause) {
        const { code, responseCode } = cause as { readonly code?: string; readonly responseCode?: number }
        const details = { notice: id, reason: code, reply: responseCode }
        // The address is refused for good (RFC 5321, 4.2.1); every other trouble may pass.
        if (code === 'EENVELOPE' && responseCode !== undefined && responseCode >= 500)
          return log.warn('a mail was refused for good', details)
        throw new SluiceError('CONNECTION_FAILED', `the mail server did not take the mail (${code ?? 'no answer'})`, {
          cause,
          details,
        })
      }
      await sql.db.updateTable('des_notices').set({ mailed_at: clock.now() }).where('id', '=', id).execute()
    },
    close: () => void sender?.then((opened) => opened.close(), () => {}),
  }
}
