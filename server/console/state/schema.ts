import { computed, effect, signal } from '@preact/signals';
import { ask, Refusal } from '../api/ask.ts';
import { INTROSPECTION, type Schema } from '../api/introspect.ts';
import { token } from '../sign-in.tsx';
import { tablesIn, type Table } from './tables.ts';

/** What clients may know of the tables; null: not asked yet, or not told. */
export const tables = signal<readonly Table[] | null>(null);
/** Why they are not told. */
export const refused = signal<Refusal | null>(null);

/** What the address says after its #: a table by its name, and the id of a row. */
const place = signal(readHash());

function readHash(): { name: string; id: string | null } {
  const [name = '', id] = location.hash.slice(1).split('/', 2).map(decoded);
  return { name, id: id ?? null };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // whoever wrote it by hand finds no such table
  }
}

/** The table that is looked at: the first one before anybody has chosen. */
export const chosen = computed<Table | undefined>(() => {
  const all = tables.value ?? [];
  return all.find(({ name }) => name === place.value.name) ?? all[0];
});

/** The row that is asked for by its id. */
export const chosenId = computed(() => (chosen.value?.name === place.value.name ? place.value.id : null));

export const hashOf = (name: string, id?: string | null) =>
  `#${encodeURIComponent(name)}${id === undefined || id === null ? '' : `/${encodeURIComponent(id)}`}`;

/** At once, as the address tells of it only later. */
export function choose({ name }: Table): void {
  if (name === chosen.peek()?.name) return;
  location.hash = hashOf(name);
  place.value = readHash();
}

export const tableOfType = (type: string) => tables.value?.find((table) => table.type === type);
export const tableOfChange = (change: string) => tables.value?.find((table) => table.change?.type === change);

/** Asks again whenever somebody signs in: who may know the schema is decided by who asks. */
export function followSchema(): void {
  addEventListener('hashchange', () => (place.value = readHash()));
  effect(() => {
    const asked = token.value;
    void load(() => asked === token.peek());
  });
}

async function load(isWanted: () => boolean): Promise<void> {
  try {
    const { __schema: schema } = await ask<{ __schema: Schema }, object>(INTROSPECTION, {});
    if (!isWanted()) return;
    tables.value = tablesIn(schema);
    refused.value = null;
  } catch (error) {
    if (!isWanted()) return;
    refused.value = error instanceof Refusal ? error : new Refusal(String(error), 'INTERNAL_SERVER_ERROR');
  }
}

/** Once the connection is back: it may have been away when the page was opened. */
export function loadIfMissing(): void {
  if (tables.peek() === null && refused.peek()?.code === 'OFFLINE') void load(() => true);
}
