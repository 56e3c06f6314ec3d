import { createHash } from 'node:crypto'
import { sql as statement } from 'kysely'
import { assertArgument, SluiceError } from '../errors.ts'
import type { Sql } from './sql.ts'

/** One step of a schema. Once released its text never changes: what is wrong with it, a later step mends. */
export interface Migration {
  /** Tells it from the others of its schema. */
  readonly name: string
  /** Its statements. */
  readonly up: string
}

/** The advisory lock that migrations of all schemas take, so that of many processes one does the work. */
const LOCK = 0x5c1ce

/**
 * Brings the schema `name` up to date: runs the migrations that have not run yet, in order, each in a transaction.
 *
 * Any number of processes may call it at once. A database that is ahead of the list is left as it is, so that versions of a
 * program can be exchanged one process after another.
 * @throws `MIGRATION_CHANGED` if a migration is not the one that ran in its place; nothing is run then.
 */
export async function migrate<DB>(sql: Sql<DB>, name: string, migrations: readonly Migration[]): Promise<void> {
  assertArgument(new Set(migrations.map((each) => each.name)).size === migrations.length, 'migrations', 'named each by its own name')
  for (;;) {
    const left = await sql.transaction(async (tx) => {
      await statement`select pg_advisory_xact_lock(${LOCK})`.execute(tx)
      await statement`create table if not exists sluice_migrations (
        schema text not null, position int not null, name text not null, hash text not null, primary key (schema, position)
      )`.execute(tx)
      const { rows: ran } = await statement<{ name: string; hash: string }>`
        select name, hash from sluice_migrations where schema = ${name} order by position`.execute(tx)
      ran.slice(0, migrations.length).forEach((row, position) => {
        const migration = migrations[position]!
        if (row.name === migration.name && row.hash === hashOf(migration)) return
        throw new SluiceError('MIGRATION_CHANGED', `migration ${row.name} of ${name} has run in another form`, {
          details: { schema: name, position, ran: row.name, given: migration.name },
        })
      })
      const next = migrations[ran.length]
      if (!next) return 0
      await statement.raw(next.up).execute(tx)
      await statement`insert into sluice_migrations (schema, position, name, hash)
        values (${name}, ${ran.length}, ${next.name}, ${hashOf(next)})`.execute(tx)
      return migrations.length - ran.length - 1
    })
    if (left === 0) return
  }
}

function hashOf({ up }: Migration): string {
  return createHash('sha256').update(up).digest('hex')
}
