import postgres from 'postgres';
import { PASSWORD, STREAMER, type Managed } from './models.ts';

/** What a superuser has left for those who may not subscribe: functions, as those of Aiven's extension. */
const FUNCTIONS = `
  create or replace function public.make_subscription(conninfo text, slot text) returns void
  language plpgsql security definer set search_path = pg_catalog as $$ begin
    execute format('create subscription readback connection %L publication readback
      with (create_slot = false, slot_name = %L, streaming = on, synchronous_commit = local)', conninfo, slot);
  end $$;
  create or replace function public.drop_subscription() returns void
  language plpgsql security definer set search_path = pg_catalog as $$ begin
    alter subscription readback disable;
    alter subscription readback set (slot_name = none);
    drop subscription readback;
  end $$`;

/** As Readback's own are named, so that its commands take it for one of theirs. */
export const SLOT = 'readback_00000000000a';

/** The person who calls them, as the login that may not subscribe: on a replica whose tables are empty. */
export async function subscribe({ config, database, replica }: Managed): Promise<void> {
  await replica.unsafe(FUNCTIONS);
  const { hostname, port } = new URL(config.primary.adminUrl);
  const conninfo = `host=${hostname} port=${port} dbname=${database} user=${STREAMER} password=${PASSWORD}`;
  await calling(config.replicationUrl!, (sql) => sql`select pg_create_logical_replication_slot(${SLOT}, 'pgoutput')`);
  await calling(config.replicas[0]!.adminUrl, (sql) => sql`select make_subscription(${conninfo}, ${SLOT})`);
}

export const unsubscribe = ({ config }: Managed) =>
  calling(config.replicas[0]!.adminUrl, (sql) => sql`select drop_subscription()`);

async function calling(url: string, work: (sql: postgres.Sql) => Promise<unknown>): Promise<void> {
  const sql = postgres(url, { max: 1 });
  try {
    await work(sql);
  } finally {
    await sql.end();
  }
}
