import type { Migration } from '../sql/migrate.ts'

/**
 * The tables of the ledger, and what the database itself refuses, whoever asks: postings that don't sum to zero, a money
 * account below zero or below its holds, and changes of what was posted.
 */
export const migrations: readonly Migration[] = [
  {
    name: 'accounts, postings and holds',
    up: `
      create domain ledger_amount as numeric(78) check (value <> 'NaN');

      create table ledger_accounts (
        id int8 generated always as identity primary key,
        owner text not null,
        asset text not null,
        kind text not null check (kind in ('money', 'external')),
        posted ledger_amount not null default 0,
        held ledger_amount not null default 0,
        unique (owner, asset, kind),
        constraint ledger_held_positive check (held >= 0),
        constraint ledger_not_overdrawn check (kind = 'external' or posted >= held)
      );

      create table ledger_holds (
        key text primary key,
        account int8 not null references ledger_accounts,
        amount ledger_amount not null check (amount > 0),
        expires_at int8 not null,
        state text not null default 'held' check (state in ('held', 'captured', 'released')),
        created_at int8 not null
      );
      create index ledger_holds_open on ledger_holds (expires_at, account) where state = 'held';
      create index ledger_holds_of_account on ledger_holds (account) where state = 'held';

      create table ledger_transactions (
        id int8 generated always as identity primary key,
        key text unique,
        hold text unique references ledger_holds,
        memo text not null,
        created_at int8 not null,
        check (num_nonnulls(key, hold) = 1)
      );

      create table ledger_postings (
        transaction int8 not null references ledger_transactions,
        account int8 not null references ledger_accounts,
        amount ledger_amount not null check (amount <> 0),
        primary key (transaction, account)
      );
      create index ledger_postings_of_account on ledger_postings (account, transaction);

      create function ledger_refuse() returns trigger language plpgsql as $$
      begin
        raise exception '% of % is not allowed', tg_op, tg_table_name
          using errcode = 'integrity_constraint_violation', constraint = 'ledger_append_only';
      end $$;
      create trigger ledger_append_only before update or delete or truncate on ledger_postings
        for each statement execute function ledger_refuse();
      create trigger ledger_append_only before update or delete or truncate on ledger_transactions
        for each statement execute function ledger_refuse();
      create trigger ledger_append_only before delete or truncate on ledger_holds
        for each statement execute function ledger_refuse();
      create trigger ledger_append_only before delete or truncate on ledger_accounts
        for each statement execute function ledger_refuse();

      -- Balances follow from postings and holds: only the triggers below, one level deeper, may write them.
      create function ledger_guard_account() returns trigger language plpgsql as $$
      begin
        if tg_op = 'INSERT' then
          if new.posted = 0 and new.held = 0 then return new; end if;
        elsif pg_trigger_depth() > 1
          and (new.id, new.owner, new.asset, new.kind) = (old.id, old.owner, old.asset, old.kind) then
          return new;
        end if;
        raise exception 'balances follow from postings and holds'
          using errcode = 'integrity_constraint_violation', constraint = 'ledger_balance_derived';
      end $$;
      create trigger ledger_balance_derived before insert or update on ledger_accounts
        for each row execute function ledger_guard_account();

      -- Once for each statement, not for each row: many postings of a busy account cost one change of it. Which postings hold
      -- together is checked there too, so those of one transaction have to come in one statement.
      create function ledger_apply_postings() returns trigger language plpgsql as $$
      begin
        if exists (
          select from added p join ledger_accounts a on a.id = p.account group by p.transaction, a.asset having sum(p.amount) <> 0
        ) then
          raise exception 'postings do not sum to zero'
            using errcode = 'check_violation', constraint = 'ledger_sum_zero';
        end if;
        update ledger_accounts a set posted = a.posted + p.sum
          from (select account, sum(amount) as sum from added group by account) p where a.id = p.account;
        return null;
      end $$;
      create trigger ledger_apply_postings after insert on ledger_postings
        referencing new table as added for each statement execute function ledger_apply_postings();

      create function ledger_refuse_hold() returns trigger language plpgsql as $$
      begin
        raise exception 'a hold begins held and ends once'
          using errcode = 'integrity_constraint_violation', constraint = 'ledger_hold_ends_once';
      end $$;
      create trigger ledger_hold_begins before insert on ledger_holds
        for each row when (new.state <> 'held') execute function ledger_refuse_hold();
      create trigger ledger_hold_ends_once before update on ledger_holds
        for each row when (
          old.state <> 'held' or new.state = 'held'
          or (new.key, new.account, new.amount, new.expires_at, new.created_at)
            is distinct from (old.key, old.account, old.amount, old.expires_at, old.created_at)
        ) execute function ledger_refuse_hold();
      create function ledger_apply_holds() returns trigger language plpgsql as $$
      begin
        update ledger_accounts a set held = a.held + h.sum
          from (select account, sum(amount) as sum from added group by account) h where a.id = h.account;
        return null;
      end $$;
      create trigger ledger_apply_holds after insert on ledger_holds
        referencing new table as added for each statement execute function ledger_apply_holds();
      create function ledger_end_holds() returns trigger language plpgsql as $$
      begin
        update ledger_accounts a set held = a.held - h.sum
          from (select account, sum(amount) as sum from ended group by account) h where a.id = h.account;
        return null;
      end $$;
      create trigger ledger_end_holds after update on ledger_holds
        referencing new table as ended for each statement execute function ledger_end_holds();
    `,
  },
]
