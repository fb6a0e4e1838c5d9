import { edited, load } from '../state/form.ts';
import { count, isReading, nextPage, page, previousPage, problem, readAgain, type Page } from '../state/page.ts';
import { chosenId, hashOf, tableOfType } from '../state/schema.ts';
import { ID, type Table } from '../state/tables.ts';
import { shown, type Row } from '../state/values.ts';
import { duration, label } from '../state/words.ts';
import { Asking } from './asking.tsx';
import { Value } from './value.tsx';

/** A page of the table's rows, and what it is asked by. */
export function RowsView({ table }: { table: Table }) {
  const { value: found } = page;
  const isThere = found?.table.name === table.name;
  return (
    <div class="rows-view">
      <Asking table={table} />
      {problem.value && (
        <p class="notice" role="alert" data-health="stopped">
          {problem.value.message}
        </p>
      )}
      {isThere && (found.nodes.length > 0 ? <Grid page={found} /> : <p class="empty">{emptyWords()}</p>)}
      <div class="pager">
        <button class="small" disabled={!isThere || !found.info.hasPreviousPage} onClick={previousPage}>
          Previous
        </button>
        <button class="small" disabled={!isThere || !found.info.hasNextPage} onClick={nextPage}>
          Next
        </button>
        <button class="small" disabled={isReading.value} onClick={readAgain}>
          Read again
        </button>
        <p class="quiet" role="status">
          {isThere ? pageWords(found) : ''}
        </p>
      </div>
    </div>
  );
}

const emptyWords = () =>
  chosenId.value === null ? 'No row fits.' : `No row has the key ${chosenId.value}, or you may not see it.`;

function pageWords({ nodes, source, tookMs }: Page): string {
  const rows = `${nodes.length} ${nodes.length === 1 ? 'row' : 'rows'}`;
  const all = chosenId.value === null && count.value !== null ? ` of ${count.value.toLocaleString('en')}` : '';
  const from = source === undefined ? '' : ` from ${source === 'primary' ? 'the primary' : label(source)}`;
  return `${rows}${all}, read${from} in ${duration(tookMs)}`;
}

function Grid({ page: { table, nodes } }: { page: Page }) {
  return (
    <div class="scroll grid" tabIndex={0} role="group" aria-label={`Rows of ${table.name}`}>
      <table>
        <thead>
          <tr>
            {[...table.columns, ...table.references].map(({ name, type }) => (
              <th key={name} scope="col" title={type}>
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {nodes.map((row) => (
            <Line key={String(row[ID])} table={table} row={row} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Line({ table, row }: { table: Table; row: Row }) {
  const id = String(row[ID]);
  const isOpen = edited.value?.[ID] === id;
  return (
    <tr data-key={id} class={isOpen ? 'is-open' : ''}>
      {table.columns.map(({ name }) => (
        <td key={name}>{name === ID ? <Key table={table} row={row} /> : <Value shown={shown(row[name])} />}</td>
      ))}
      {table.references.map(({ name, type }) => (
        <td key={name}>
          <Linked to={type} row={row[name] as Row | null} />
        </td>
      ))}
    </tr>
  );
}

/** Opens the row in the form, where it can be written. */
function Key({ table, row }: { table: Table; row: Row }) {
  const id = String(row[ID]);
  if (!table.update && !table.delete) return <Value shown={shown(id)} />;
  return (
    <button class="key" title={id} aria-label={`Edit ${id}`} onClick={() => load(row)}>
      {short(id)}
    </button>
  );
}

function Linked({ to, row }: { to: string; row: Row | null }) {
  const table = tableOfType(to);
  if (!row || !table) return <Value shown={shown(null)} />;
  const id = String(row[ID]);
  return (
    <a class="key" href={hashOf(table.name, id)} title={`${table.name} ${id}`}>
      {short(id)}
    </a>
  );
}

/** A UUID by its first part; others as they are, as long as they are short, and seen. */
function short(id: string): string {
  if (id.trim() === '') return JSON.stringify(id);
  return id.length > 20 ? `${id.slice(0, 8)}…` : id;
}
