import { signal } from '@preact/signals';
import { chosen, hashOf, refused, tables } from '../state/schema.ts';
import type { Table } from '../state/tables.ts';
import { FormView } from './form-view.tsx';
import { RowsView } from './rows-view.tsx';

/** Fewer are found at a glance. */
const SEARCHED_FROM = 8;

const search = signal('');

/** All tables, the rows of one of them, and a form to write it. */
export function TablesPanel() {
  const { value: table } = chosen;
  return (
    <section class="card tables-panel" aria-labelledby="tables">
      <h2 id="tables">Tables</h2>
      {table ? (
        <div class="tables" data-writable={Boolean(table.create ?? table.update)}>
          <TableList all={tables.value ?? []} current={table} />
          <RowsView key={table.name} table={table} />
          <FormView table={table} />
        </div>
      ) : (
        <p class="empty">{whyNone()}</p>
      )}
    </section>
  );
}

function whyNone(): string {
  if (tables.value) return 'This project declares no tables yet: readback add TABLE makes the first one.';
  switch (refused.value?.code) {
    case undefined:
      return 'Asking which tables there are…';
    case 'GRAPHQL_VALIDATION_FAILED':
      return 'This server tells its tables to administrators only; with INTROSPECTION=on it tells everybody.';
    default:
      return refused.value!.message;
  }
}

function TableList({ all, current }: { all: readonly Table[]; current: Table }) {
  const text = search.value.trim().toLowerCase();
  const found = all
    .filter(({ name, type }) => `${name} ${type}`.toLowerCase().includes(text))
    .toSorted((a, b) => (a.name < b.name ? -1 : 1));
  return (
    <nav class="table-list" aria-label="Tables">
      {all.length >= SEARCHED_FROM && (
        <input
          type="search"
          aria-label="Find a table"
          placeholder={`Find one of ${all.length}`}
          value={search.value}
          onInput={(event) => (search.value = event.currentTarget.value)}
        />
      )}
      <ul>
        {found.map(({ name }) => (
          <li key={name}>
            <a href={hashOf(name)} aria-current={name === current.name ? 'true' : undefined}>
              {name}
            </a>
          </li>
        ))}
      </ul>
      {found.length === 0 && <p class="quiet">No table has this in its name.</p>}
    </nav>
  );
}
