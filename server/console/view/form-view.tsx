import { useState } from 'preact/hooks';
import { createAnother, draft, edited, faults, inputsOf, isSending, remove, submit } from '../state/form.ts';
import { ID, type Table } from '../state/tables.ts';
import { nameOf, type Row } from '../state/values.ts';
import { FieldView } from './field-view.tsx';

/** Makes a row, or changes the one that was opened. */
export function FormView({ table }: { table: Table }) {
  const { value: row } = edited;
  const mayWrite = Boolean(row ? table.update : table.create);
  if (!mayWrite && !row) return null;
  return (
    <section class="form" id="form" tabIndex={-1} aria-labelledby="form-title">
      <div class="card-head">
        <h3 id="form-title">{row ? `Edit ${nameOf(table, row, String(row[ID]))}` : `Create ${table.type}`}</h3>
        {row && (
          <button class="small" onClick={createAnother}>
            {table.create ? 'Create instead' : 'Close'}
          </button>
        )}
      </div>
      <form onSubmit={(event) => (event.preventDefault(), void submit(table))}>
        {mayWrite && <Entries table={table} row={row} />}
        <p class="refusal" role="alert">
          {faults.value['']}
        </p>
        <div class="buttons">
          {mayWrite && (
            <button class="strong" disabled={isSending.value}>
              {row ? 'Save' : `Create ${table.type}`}
            </button>
          )}
          {row && table.delete && <Delete key={String(row[ID])} table={table} row={row} />}
        </div>
      </form>
    </section>
  );
}

function Entries({ table, row }: { table: Table; row: Row | null }) {
  const inputs = inputsOf(table, row);
  if (inputs.length === 0) return <p class="quiet">There is nothing to fill in: the primary makes all of it.</p>;
  return (
    <div class="entries">
      {inputs.map((input) => (
        <FieldView
          key={`${table.name} ${input.name}`}
          input={input}
          table={table}
          isNew={row === null}
          entry={draft.value[input.name]}
        />
      ))}
    </div>
  );
}

/** Asks once more: a row that is gone does not come back. */
function Delete({ table, row }: { table: Table; row: Row }) {
  const [isSure, setSure] = useState(false);
  if (!isSure)
    return (
      <button type="button" class="danger" disabled={isSending.value} onClick={() => setSure(true)}>
        Delete
      </button>
    );
  return (
    <>
      <button
        type="button"
        class="danger"
        ref={(button) => button?.focus()}
        disabled={isSending.value}
        onClick={() => void remove(table, row)}
      >
        Delete for good
      </button>
      <button type="button" onClick={() => setSure(false)}>
        Keep
      </button>
    </>
  );
}
