import type { Migration } from '../../../core/sql/index.ts'

/** What an exchange knows of its contracts, and what it has to send to them. Blocks are numbers, hashes hex without 0x. */
export const migrations: readonly Migration[] = [
  {
    name: 'begin',
    up: `
-- Every key that an account has had: the one of the last log holds.
create table des_chain_keys (
  account int8 not null, block int8 not null, log int not null, public_key text not null, primary key (account, block, log)
);
-- Logs that moved money, each booked once, with what was posted: pairs of account and amount.
create table des_chain_entries (
  id int8 generated always as identity primary key, block int8 not null, block_hash text not null, log int not null,
  postings jsonb not null, unique (block_hash, log)
);
create index des_chain_entries_block on des_chain_entries (block);
-- What accounts have announced to take out, and the hold that keeps it from being promised meanwhile. Books: the account of the ledger.
create table des_chain_plans (
  account text not null, asset text not null, books int8 not null unique, block int8 not null, amount numeric(30) not null,
  held numeric(30) not null default 0, hold text, primary key (account, asset)
);
create sequence des_chain_plan_holds;
-- Calls of contracts, each to be sent once.
create table des_chain_calls (
  id int8 generated always as identity primary key, label text not null, target text not null, data bytea not null,
  attempt int not null default 0, created_at int8 not null, ended_at int8
);
create index des_chain_calls_open on des_chain_calls (id) where ended_at is null;
-- Our transfers. Without an item: seen on the chain, and not submitted.
create table des_chain_transfers (
  digest text primary key, item int8, packed bytea, expiration int8 not null,
  state text not null check (state in ('waiting', 'sent', 'done', 'refused')), call int8 references des_chain_calls,
  txid text, block int8, reason text, told boolean not null default false, created_at int8 not null
);
create index des_chain_transfers_waiting on des_chain_transfers (created_at) where state = 'waiting';
create index des_chain_transfers_open on des_chain_transfers (expiration) where state in ('waiting', 'sent');
create index des_chain_transfers_untold on des_chain_transfers (item) where item is not null and not told and state in ('done', 'refused');
create index des_chain_transfers_refused on des_chain_transfers (expiration) where state = 'refused' and told;
create index des_chain_transfers_call on des_chain_transfers (call);
create index des_chain_transfers_block on des_chain_transfers (block);
-- Roots that are to be anchored, or are.
create table des_chain_anchors (
  root text not null, size int8 not null, call int8 references des_chain_calls, txid text, block int8, primary key (root, size)
);
create index des_chain_anchors_open on des_chain_anchors (root) where call is null and txid is null;
create index des_chain_anchors_call on des_chain_anchors (call);
create index des_chain_anchors_block on des_chain_anchors (block);
-- Blocks that were reached, one an hour. What lies up to one that is closed is neither booked again nor undone, and may be gone.
create table des_chain_marks (block int8 primary key, hash text not null, at int8 not null, closed boolean not null default false);
`,
  },
]
