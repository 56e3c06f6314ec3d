import type { Migration } from '../sql/migrate.ts'

/** The table of jobs. `due_at` of a job that runs is the end of its lease, so one that nobody renews becomes due by itself. */
export const migrations: readonly Migration[] = [
  {
    name: 'jobs',
    up: `
      create table jobs (
        id int8 generated always as identity primary key,
        kind text not null,
        key text,
        payload jsonb not null,
        state text not null default 'waiting' check (state in ('waiting', 'done', 'dead')),
        due_at int8 not null,
        attempt int not null default 0,
        claim int8 not null default 0,
        every int8 check (every > 0),
        reason text,
        created_at int8 not null,
        ended_at int8,
        unique (kind, key)
      );
      create index jobs_due on jobs (due_at, id) where state = 'waiting';
      create index jobs_ended on jobs (state, ended_at) where state <> 'waiting';
    `,
  },
]
