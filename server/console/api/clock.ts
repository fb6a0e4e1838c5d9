import { signal } from '@preact/signals';
import { ReplicationDocument } from '../../../schema/generated/operations.ts';
import { ask } from './ask.ts';
import { now, timeOf } from './time.ts';

/** How far the server's clock is ahead of this one, and how well that is known. Null: not known. */
export const ahead = signal<{ ms: number; withinMs: number } | null>(null);

const ROUNDS = 4;
/** Clocks drift: what was found longer ago gives way to what is found now, though it was known better. */
const GOOD_FOR_MS = 60_000;
let foundAt = -Infinity;

/** The server's time lies somewhere between question and answer: the quickest round trip tells it best. */
export async function setClock(): Promise<void> {
  for (let round = 0; round < ROUNDS; round++) {
    const asked = now();
    const { replication } = await ask(ReplicationDocument, {});
    const answered = now();
    const withinMs = (answered - asked) / 2;
    if (answered - foundAt < GOOD_FOR_MS && ahead.value && ahead.value.withinMs <= withinMs) continue;
    ahead.value = { ms: timeOf(replication.at) - asked - withinMs, withinMs };
    foundAt = answered;
  }
}

/** A moment of the servers by this browser's clock. */
export const here = (iso: string) => timeOf(iso) - (ahead.value?.ms ?? 0);
