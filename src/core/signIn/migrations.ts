import type { Migration } from '../sql/migrate.ts'

/** One secret of all processes, the challenges that were used, and the tokens by their hashes. */
export const migrations: readonly Migration[] = [
  {
    name: 'begin',
    up: `
      create table sign_in_secret (id int primary key check (id = 1), secret bytea not null);
      create table sign_in_used (nonce text primary key, expires_at int8 not null);
      create index sign_in_used_age on sign_in_used (expires_at);
      create table sign_in_tokens (
        hash text primary key, account text not null, who jsonb not null, created_at int8 not null, expires_at int8 not null
      );
      create index sign_in_tokens_account on sign_in_tokens (account, created_at);
      create index sign_in_tokens_age on sign_in_tokens (expires_at);
    `,
  },
]
