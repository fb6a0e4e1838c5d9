/** A public schema: where it is, and what an empty database must have before it takes it. */
export interface PublicSchema {
  /** On GitHub. */
  repository: string;
  /** In the order of their paths; a folder stands for the `.sql` files in it. */
  paths: readonly string[];
  /** Of those, the files that are taken. */
  only?: RegExp;
  /** SQL that runs before. */
  before?: string;
  /** What the application's own functions need as they run for Readback's login. */
  rights?: string;
  /** The order of the files is not that of their statements: those that fail are run again. */
  isUnordered?: true;
  /** Of these schemas; left out: of all. */
  schemas?: readonly string[];
}

/** What Supabase has before a project's own migrations. The first user is signed in. */
const SUPABASE = `
  create schema auth; create schema storage; create schema if not exists extensions;
  create table auth.users (id uuid primary key, email text, raw_user_meta_data jsonb, created_at timestamptz default now());
  create function auth.uid() returns uuid language sql stable as 'select ''00000000-0000-4000-8000-000000000001''::uuid';
  create function auth.role() returns text language sql stable as 'select null::text';
  create function auth.jwt() returns jsonb language sql stable as 'select null::jsonb';
  create table storage.buckets (id text primary key, name text, public boolean, owner uuid);
  create table storage.objects (id uuid primary key, bucket_id text, name text, owner uuid, owner_id text);
  create function storage.foldername(name text) returns text[] language sql as 'select string_to_array($1, ''/'')';
  create function storage.filename(name text) returns text language sql as 'select $1';
  do $$ begin create role anon; exception when duplicate_object then null; end $$;
  do $$ begin create role authenticated; exception when duplicate_object then null; end $$;
  do $$ begin create role service_role; exception when duplicate_object then null; end $$;
  create extension if not exists "uuid-ossp" with schema extensions;
  create extension if not exists pgcrypto with schema extensions;
  create publication supabase_realtime;
  set search_path = public, extensions;
`;

/** As `pgbench -i` makes them, with their keys. */
const PGBENCH = `
  create table pgbench_history (tid int, bid int, aid int, delta int, mtime timestamp, filler char(22));
  create table pgbench_tellers (tid int not null primary key, bid int, tbalance int, filler char(84)) with (fillfactor = 100);
  create table pgbench_accounts (aid int not null primary key, bid int, abalance int, filler char(84)) with (fillfactor = 100);
  create table pgbench_branches (bid int not null primary key, bbalance int, filler char(88)) with (fillfactor = 100);
`;

const PRISMA = { only: /migration\.sql$/ };

export const PUBLIC_SCHEMAS: readonly PublicSchema[] = [
  { repository: 'postgres/pgbench', paths: [], before: PGBENCH },
  // What its `migrate` makes for the applications of django.contrib, as pg_dump --schema-only has it.
  { repository: 'django/contrib', paths: ['contrib.sql'] },
  { repository: 'devrimgunduz/pagila', paths: ['pagila-schema.sql'] },
  { repository: 'lerocha/chinook-database', paths: ['ChinookDatabase/DataSources/Chinook_PostgreSql.sql'] },
  { repository: 'pthom/northwind_psql', paths: ['northwind.sql'] },
  { repository: 'lorint/AdventureWorks-for-Postgres', paths: ['install.sql'] },
  { repository: 'openstreetmap/openstreetmap-website', paths: ['db/structure.sql'] },
  { repository: 'getlago/lago-api', paths: ['db/structure.sql'] },
  {
    repository: 'LemmyNet/lemmy',
    paths: ['migrations'],
    only: /up\.sql$/,
    // A function that defaults call takes its values from it.
    rights: 'grant usage on sequence changeme_seq to readback_writer',
  },
  { repository: 'umami-software/umami', paths: ['prisma/migrations'], ...PRISMA },
  { repository: 'documenso/documenso', paths: ['packages/prisma/migrations'], ...PRISMA },
  { repository: 'langfuse/langfuse', paths: ['packages/shared/prisma/migrations'], ...PRISMA },
  {
    repository: 'logto-io/logto',
    paths: ['packages/schemas/tables'],
    only: /\/(?:[a-z]|_functions)\w*\.sql$/,
    before: `create table tenants (
      id varchar(21) primary key, db_user varchar(128) unique, db_user_password varchar(128), name varchar(128) not null default 'My Project',
      tag varchar(64) not null default 'development', created_at timestamptz not null default now(), is_suspended boolean not null default false)`,
    isUnordered: true,
  },
  {
    repository: 'usebasejump/basejump',
    paths: ['supabase/migrations'],
    before: SUPABASE,
    schemas: ['basejump', 'public'],
    // Its triggers, defaults and policies call functions that it takes away from everybody, and that read its settings.
    // One of them looks for names in a schema that sessions of Supabase have in their path.
    rights: `alter function basejump.generate_token(int) set search_path = public, extensions;
      grant select on basejump.config to readback_writer; grant usage on schema auth, extensions to readback_writer;
      grant execute on all functions in schema basejump, auth, extensions to readback_writer`,
  },
  { repository: 'mckaywrigley/chatbot-ui', paths: ['supabase/migrations'], before: SUPABASE, schemas: ['public'] },
  { repository: 'vercel/nextjs-subscription-payments', paths: ['schema.sql'], before: SUPABASE, schemas: ['public'] },
];
