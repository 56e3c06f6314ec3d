/**
 * What an exchange keeps in SQL. Times are milliseconds since 1970, amounts whole units of their asset.
 * @module
 */
import type { ColumnType, Generated, JSONColumnType } from 'kysely'
import type { AccountId, AssetId } from '../../core/crypto/graphene/index.ts'
import type { Migration } from '../../core/sql/migrate.ts'
import type { FieldSpecs } from '../wire/fieldSpecs.ts'
import type { Dialect } from '../wire/index.ts'

export type { FieldSpecs }

/** numeric: written as `bigint`, comes as decimal text. */
type Numeric = ColumnType<string, bigint, bigint>
/** int8. */
type Time = ColumnType<bigint, number | bigint, number | bigint>

/** A company that signs in: a member of the market. */
export interface MerchantTable {
  /** `merchantId`: the platform's own number. */
  id: number
  account: AccountId
  service_url: string | null
  /** The time in the text that its account signed last: a later binding is always later. */
  bound_at: Time
  name: string
  authorizer: string
  /** SHA-256 of the logo in hex; null for none. */
  logo: string | null
  website: string
  email: string | null
  /** Applications that were refused in a row. */
  refusals: number
  /** Until when it may not apply; 0 for not at all. */
  locked_until: Time
  created_at: Time
}

/** A kind of product. */
export interface CategoryTable {
  id: Generated<number>
  name: string
}

/** Where a product is sold: 0 alliance, 1 free market. */
export type ShareStatus = 0 | 1

/** A product; what may change of it is in its versions. */
export interface ProductTable {
  id: Generated<number>
  share_status: ShareStatus
  /** `merchantId`. */
  issuer: number
  /** Ten-thousandths: 7000 for 0.7. */
  threshold: number
  /** The newest; 1 at first. */
  version: number
  created_at: Time
}

/** A product as it was published, or as a vote made it. Its fields are `json`, which keeps their order. */
export interface ProductVersionTable {
  product: number
  version: number
  name: string
  brief: string
  /** SHA-256 of the logo in hex; null for none. */
  logo: string | null
  category: number
  price: Numeric
  asset: AssetId
  privacy: boolean
  input: JSONColumnType<FieldSpecs>
  output: JSONColumnType<FieldSpecs>
  created_at: Time
}

/** A picture, by the SHA-256 of its bytes in hex. */
export interface LogoTable {
  hash: string
  type: string
  bytes: Uint8Array
}

/** Who answers questions of a product. */
export interface MemberTable {
  product: number
  merchant: number
  since: Time
}

/** What a vote is about. */
export type VoteType = 'APPLY' | 'ADD_MEMBER' | 'UPDATE_PRODUCT'
/** How far it is. */
export type VoteStatus = 'INPROGRESS' | 'PASS' | 'REJECT'

/** A vote of a product's members. */
export interface VoteTable {
  id: Generated<number>
  product: number
  type: VoteType
  status: VoteStatus
  requester: number
  /** Who is to become a member: `merchantId`s. */
  invited: JSONColumnType<readonly number[]>
  /** What the product is, and what it is to be; null unless that is what the vote is about. */
  before: JSONColumnType<object> | null
  after: JSONColumnType<object> | null
  threshold: number
  /** Members when it began, and how many of them must agree. */
  voters: number
  needed: number
  created_at: Time
  expires_at: Time
  ended_at: Time | null
}

/** Who may vote: the members when it began. */
export interface BallotTable {
  vote: number
  merchant: number
  /** Null while it hasn't voted. */
  agree: boolean | null
  voted_at: Time | null
}

/** What a merchant should know of. */
export interface NoticeTable {
  id: Generated<bigint>
  merchant: number
  /** `vote.opened`, `vote.passed`, `vote.rejected`, `member.joined` … */
  kind: string
  /** What it is about. */
  details: JSONColumnType<Readonly<Record<string, string | number>>>
  created_at: Time
  read_at: Time | null
  /** When a mail server took it; null while none has. */
  mailed_at: Time | null
}

/** A data source's last heartbeat. */
export interface DatasourceTable {
  account: AccountId
  /** As the data source signed it: a later one is always greater. */
  timestamp: Time
  beat_at: Time
  service_url: string
  /** Of those that it offered, the ones that it may sell. */
  products: number[]
  /** Suites of sealed data that it opens beside 1. */
  suites: number[]
}

/** A request of a merchant. */
export interface RequestTable {
  /** SHA-256 of its authorisations' digests, in hex. */
  id: string
  product: number
  version: number
  payer: AccountId
  dialect: JSONColumnType<Dialect>
  /** Items. */
  total: number
  created_at: Time
}

/** How far an item is; see docs/des.md. */
export const itemStates = [
  'HELD',
  'FORWARDED',
  'PENDING_SETTLEMENT',
  'SUCCESS',
  'FAIL',
  'NONE',
  'DATASOURCE_FAIL',
  'QUERY_FAIL',
  'TIMEOUT',
  'PROXY_TRANSFER_ERROR',
  'CANCELLED',
] as const
/** One of {@link itemStates}. */
export type ItemState = (typeof itemStates)[number]

/** One data source asked, and paid. */
export interface ItemTable {
  id: Generated<bigint>
  request: string
  position: number
  product: number
  payer: AccountId
  payee: AccountId
  /** SHA-256 of the unsigned request_params in hex: an authorisation is used once. */
  digest: string
  amount: Numeric
  asset: AssetId
  /** The signed authorisation as its client wrote it. */
  authorisation: JSONColumnType<object>
  /** Unix seconds. */
  expiration: Time
  /** The question, sealed for the payee; null once it is over. */
  question: string | null
  nonce: Numeric
  state: ItemState
  comment: string | null
  /** When somebody should look after it: it is taken by setting this forward. Null when it is over. */
  due_at: Time | null
  attempt: number
  /** CIDv0 of the sealed answer. */
  cid: string | null
  answer_nonce: ColumnType<string | null, bigint | null, bigint | null>
  /** Whose answer it is: the payee's key then. */
  answer_key: string | null
  /** What the proxy wrote beside the transfer. */
  proxy_memo: string | null
  /** 64 hex digits: the chain's transaction, or the digest where there is no chain. */
  txid: string | null
  created_at: Time
  /** When it was over. */
  ended_at: Time | null
}

/** Money that came in for an account. */
export interface IncomeTable {
  key: string
  account: AccountId
  asset: AssetId
  amount: Numeric
  at: Time
}

/** Sealed answers, where the content store is SQL. */
export interface ContentTable {
  cid: string
  bytes: Uint8Array
  created_at: Time
}

/** What proves an exchange: a leaf of a batch's Merkle tree. */
export interface EvidenceTable {
  item: bigint
  /** Hex of the leaf's preimage digest. */
  digest: string
  /** Null until it is anchored. */
  batch: bigint | null
  position: number | null
  created_at: Time
}

/** Many digests under one root. */
export interface EvidenceBatchTable {
  id: Generated<bigint>
  root: string
  size: number
  /** Null until it is sent. */
  txid: string | null
  block: Time | null
  created_at: Time
  anchored_at: Time | null
}

/** The tables of an exchange. */
export interface Database {
  des_merchants: MerchantTable
  des_categories: CategoryTable
  des_products: ProductTable
  des_product_versions: ProductVersionTable
  des_logos: LogoTable
  des_members: MemberTable
  des_votes: VoteTable
  des_ballots: BallotTable
  des_notices: NoticeTable
  des_datasources: DatasourceTable
  des_requests: RequestTable
  des_items: ItemTable
  des_incomes: IncomeTable
  des_contents: ContentTable
  des_evidence: EvidenceTable
  des_evidence_batches: EvidenceBatchTable
}

export const migrations: readonly Migration[] = [
  {
    name: 'begin',
    up: `
create table des_logos (hash text primary key, type text not null, bytes bytea not null);
create table des_merchants (
  id int primary key, account text not null unique, service_url text, bound_at int8 not null,
  name text not null default '', authorizer text not null default '', logo text references des_logos, website text not null default '',
  email text, refusals int not null default 0, locked_until int8 not null default 0, created_at int8 not null
);
create table des_categories (id int generated always as identity primary key, name text not null unique);
create table des_products (
  id int generated always as identity primary key, share_status int not null check (share_status in (0, 1)),
  issuer int not null references des_merchants, threshold int not null check (threshold between 1 and 10000),
  version int not null, created_at int8 not null
);
create table des_product_versions (
  product int not null references des_products, version int not null, name text not null, brief text not null,
  logo text references des_logos, category int not null references des_categories, price numeric(20) not null check (price >= 0),
  asset text not null, privacy boolean not null, input json not null, output json not null, created_at int8 not null,
  primary key (product, version)
);
create index des_product_versions_category on des_product_versions (category, product);
create table des_members (
  product int not null references des_products, merchant int not null references des_merchants, since int8 not null,
  primary key (product, merchant)
);
create index des_members_merchant on des_members (merchant);
create table des_votes (
  id int generated always as identity primary key, product int not null references des_products,
  type text not null check (type in ('APPLY', 'ADD_MEMBER', 'UPDATE_PRODUCT')),
  status text not null check (status in ('INPROGRESS', 'PASS', 'REJECT')), requester int not null references des_merchants,
  invited jsonb not null, before json, after json, threshold int not null, voters int not null, needed int not null,
  created_at int8 not null, expires_at int8 not null, ended_at int8
);
create unique index des_votes_one_update on des_votes (product) where type = 'UPDATE_PRODUCT' and status = 'INPROGRESS';
create unique index des_votes_one_application on des_votes (product, requester) where type = 'APPLY' and status = 'INPROGRESS';
create index des_votes_product on des_votes (product, id desc);
create index des_votes_requester on des_votes (requester, id desc);
create index des_votes_open on des_votes (expires_at) where status = 'INPROGRESS';
create table des_ballots (
  vote int not null references des_votes, merchant int not null references des_merchants, agree boolean, voted_at int8,
  primary key (vote, merchant)
);
create index des_ballots_merchant on des_ballots (merchant, vote desc);
create table des_notices (
  id int8 generated always as identity primary key, merchant int not null references des_merchants, kind text not null,
  details jsonb not null, created_at int8 not null, read_at int8, mailed_at int8
);
create index des_notices_merchant on des_notices (merchant, id desc);
create index des_notices_unread on des_notices (merchant, id desc) where read_at is null;
create table des_datasources (
  account text primary key, timestamp int8 not null, beat_at int8 not null, service_url text not null, products int[] not null,
  suites int[] not null default '{}'
);
create index des_datasources_products on des_datasources using gin (products);
create table des_requests (
  id text primary key, product int not null, version int not null, payer text not null, dialect jsonb not null,
  total int not null check (total > 0), created_at int8 not null, foreign key (product, version) references des_product_versions
);
create table des_items (
  id int8 generated always as identity primary key, request text not null references des_requests, position int not null,
  product int not null, payer text not null, payee text not null, digest text not null unique, amount numeric(20) not null check (amount >= 0),
  asset text not null, authorisation jsonb not null, expiration int8 not null, question text, nonce numeric(20) not null,
  state text not null, comment text, due_at int8, attempt int not null default 0, cid text, answer_nonce numeric(20), answer_key text,
  proxy_memo text, txid text, created_at int8 not null, ended_at int8, unique (request, position)
);
-- A bill reads its index alone while the visibility map is fresh: 100,000 rows then take a third of the time.
alter table des_items set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.02);
create index des_items_due on des_items (due_at) where due_at is not null;
create index des_items_bill on des_items (payer, ended_at) include (product, amount, asset) where state = 'SUCCESS';
create index des_items_payee on des_items (payee, ended_at) where state = 'SUCCESS';
create index des_items_txid on des_items (left(txid, 40)) where txid is not null;
create table des_incomes (
  key text primary key, account text not null, asset text not null, amount numeric(20) not null, at int8 not null
);
create index des_incomes_account on des_incomes (account, at);
create table des_contents (cid text primary key, bytes bytea not null, created_at int8 not null);
create index des_contents_age on des_contents (created_at);
create table des_evidence_batches (
  id int8 generated always as identity primary key, root text not null, size int not null, txid text, block int8,
  created_at int8 not null, anchored_at int8
);
create table des_evidence (
  item int8 primary key references des_items, digest text not null, batch int8 references des_evidence_batches, position int,
  created_at int8 not null
);
create index des_evidence_open on des_evidence (item) where batch is null;
create index des_evidence_batch on des_evidence (batch, position);
`,
  },
  // Evidence is asked for by the CID of an answer: a transfer's memo.
  { name: 'cids', up: 'create index des_items_cid on des_items using hash (cid) where cid is not null' },
]
