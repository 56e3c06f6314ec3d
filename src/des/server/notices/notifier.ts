import { sql as statement } from 'kysely'
import type { Clock } from '../../../core/clock.ts'
import type { JobHandler, NewJob } from '../../../core/jobs/index.ts'
import type { Logger } from '../../../core/log.ts'
import type { Sql, Tx } from '../../../core/sql/index.ts'
import type { Notice } from '../context.ts'
import type { Database } from '../database.ts'
import { createMailer, MAIL_JOB, type MailOptions } from './mailer.ts'

/** Options of {@link createNotifier}. */
export interface NotifierOptions {
  readonly sql: Sql<Database>
  readonly clock: Clock
  readonly log: Logger
  /** Adds a job; needed with `mail`. */
  readonly add: (tx: Tx, job: NewJob) => Promise<unknown>
  /** How merchants that gave an address are mailed. @default none: notices are in the notification centre alone */
  readonly mail?: MailOptions | undefined
}

/** Tells merchants of something. */
export interface Notifier {
  /** In the caller's transaction: a notice for each, and a job for each mail, come with what they are about or not at all. */
  notify(tx: Tx, notice: Notice): Promise<void>
  /** What does its jobs, by kind. */
  readonly handlers: Readonly<Record<string, JobHandler>>
  /** Ends the connections to the mail server. */
  close(): void
}

/**
 * Makes what tells merchants of something.
 * @throws `BAD_ARGUMENT` unless mails come from an address.
 */
export function createNotifier({ sql, clock, log, add, mail }: NotifierOptions): Notifier {
  const mailer = mail && createMailer({ ...mail, sql, clock, log })
  return {
    handlers: mailer ? { [MAIL_JOB]: mailer.deliver } : {},
    close: () => mailer?.close(),

    async notify(tx, { merchants, kind, details }) {
      if (merchants.length === 0) return
      const { rows } = await statement<{ id: bigint; email: string | null }>`with made as (
          insert into des_notices (merchant, kind, details, created_at)
          select id, ${kind}, ${JSON.stringify(details)}::jsonb, ${clock.now()}::int8 from des_merchants
          where id = any(${[...new Set(merchants)]}::int[]) order by id returning id, merchant
        ) select made.id, email from made join des_merchants m on m.id = made.merchant order by made.id`.execute(tx)
      if (!mailer) return
      for (const { id, email } of rows) {
        if (email !== null) await add(tx, { kind: MAIL_JOB, key: String(id), payload: String(id) })
      }
    },
  }
}
