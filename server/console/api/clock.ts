import { signal } from '@preact/signals';
import { ReplicationDocument } from '../../../schema/generated/operations.ts';
import { ask } from './ask.ts';

/** Milliseconds by this browser's clock, with fractions; it never goes back. */
export const now = () => performance.timeOrigin + performance.now();

/** How far the server's clock is ahead of this one, and how well that is known. Null: not known. */
export const ahead = signal<{ ms: number; withinMs: number } | null>(null);

const ROUNDS = 4;

/** The server's time lies somewhere between question and answer: the quickest of a few answers tells it best. */
export async function setClock(): Promise<void> {
  for (let round = 0; round < ROUNDS; round++) {
    const asked = now();
    const { replication } = await ask(ReplicationDocument, {});
    const withinMs = (now() - asked) / 2;
    if (round > 0 && ahead.value && ahead.value.withinMs <= withinMs) continue;
    ahead.value = { ms: timeOf(replication.at) - asked - withinMs, withinMs };
  }
}

/** A moment of the servers by this browser's clock. */
export const here = (iso: string) => timeOf(iso) - (ahead.value?.ms ?? 0);

/** Date.parse forgets the microseconds. */
export function timeOf(iso: string): number {
  const micros = /\.\d{3}(\d{3})/.exec(iso)?.[1] ?? '0';
  return Date.parse(iso) + Number(micros) / 1000;
}
