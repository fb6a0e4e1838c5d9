import { useState } from 'preact/hooks';
import { timeOf } from '../api/time.ts';
import type { Row } from '../state/feed.ts';
import { fieldsOf, newsOf, type FieldChange } from '../state/images.ts';
import { tableOfChange } from '../state/schema.ts';
import { nameOf } from '../state/values.ts';
import { duration } from '../state/words.ts';
import { edit } from './edit.ts';
import { Value } from './value.tsx';

const OPERATIONS = { INSERT: 'Insert', UPDATE: 'Update', DELETE: 'Delete' };
const clock = new Intl.DateTimeFormat(undefined, {
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  hourCycle: 'h23',
});

export function FeedRow({ row: { change } }: { row: Row }) {
  const table = tableOfChange(change.type);
  const { after, before } = change;
  return (
    <li class="row" data-operation={change.operation} data-key={change.key}>
      <div class="row-head">
        <span class="operation">{OPERATIONS[change.operation]}</span>
        <strong class="row-name">{nameOf(table, after ?? before ?? null, change.key)}</strong>
        <code class="row-table">{change.table}</code>
      </div>
      <ul class="news">
        {newsOf(change, table).map((field) => (
          <News key={field.field} {...field} />
        ))}
      </ul>
      <p class="row-times">
        <time dateTime={change.committedAt}>{clock.format(timeOf(change.committedAt))}</time>
        <span title="From the commit on the primary to the apply on the replica">
          {' · applied in '}
          {duration(change.lagMs)}
        </span>
      </p>
      <div class="row-more">
        <Images row={change} />
        {table?.update && after && (
          <button
            class="small"
            aria-label={`Edit ${nameOf(table, after, change.key)}`}
            onClick={() => edit(table, after)}
          >
            Edit
          </button>
        )}
      </div>
    </li>
  );
}

function News({ field, before, after }: FieldChange) {
  return (
    <li>
      <span class="field">{field}</span>
      {before && (
        <del>
          <span class="unseen">was </span>
          <Value shown={before} />
        </del>
      )}
      {before && after && <span aria-hidden="true"> → </span>}
      {after && (
        <ins>
          <span class="unseen">now </span>
          <Value shown={after} />
        </ins>
      )}
    </li>
  );
}

/** Made only when it is opened: most never are. */
function Images({ row }: { row: Row['change'] }) {
  const [isOpen, setOpen] = useState(false);
  return (
    <details onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>Before and after</summary>
      {isOpen && (
        <div class="scroll" tabIndex={0} role="group" aria-label="Before and after">
          <table>
            <thead>
              <tr>
                <th scope="col">Field</th>
                <th scope="col">Before</th>
                <th scope="col">After</th>
              </tr>
            </thead>
            <tbody>
              {fieldsOf(row).map(({ field, before, after, isChanged }) => (
                <tr key={field} class={isChanged ? 'is-changed' : ''}>
                  <th scope="row">{field}</th>
                  <td>{before && <Value shown={before} isFull />}</td>
                  <td>{after && <Value shown={after} isFull />}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </details>
  );
}
