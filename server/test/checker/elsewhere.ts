import { setTimeout as sleep } from 'node:timers/promises';
import type postgres from 'postgres';
import type { Random } from '../support/history.ts';
import { despiteOutages } from './outage.ts';

const MOST_PAUSE_MS = 8;

/**
 * Write-ahead log that no replica gets anything of, in small transactions all the time: positions of keepalives then lie
 * between published transactions.
 */
export async function writeElsewhere(sql: postgres.Sql, random: Random, stopped: () => boolean): Promise<void> {
  await sql`create schema if not exists elsewhere`;
  await sql`create table if not exists elsewhere.notes (id int generated always as identity, note text)`;
  const kinds = [
    () => sql`insert into elsewhere.notes (note) values (repeat('x', ${Math.floor(random() * 200)}))`,
    () => sql`select pg_logical_emit_message(true, 'elsewhere', 'in a transaction')`,
    () => sql`select pg_logical_emit_message(false, 'elsewhere', 'in none')`,
  ];
  while (!stopped()) {
    await despiteOutages(sql, kinds[Math.floor(random() * kinds.length)]!);
    await sleep(random() * MOST_PAUSE_MS);
  }
}
