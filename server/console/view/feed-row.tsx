import { useState } from 'preact/hooks';
import { timeOf } from '../api/time.ts';
import type { Row } from '../state/feed.ts';
import { fieldsOf, nameOf, newsOf, type FieldChange } from '../state/images.ts';
import { duration } from '../state/words.ts';
import { edit } from './editing.ts';

const OPERATIONS = { INSERT: 'Insert', UPDATE: 'Update', DELETE: 'Delete' };
const clock = new Intl.DateTimeFormat(undefined, {
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  hourCycle: 'h23',
});

export function FeedRow({ row: { change } }: { row: Row }) {
  const user = change.__typename === 'UserChange' ? change.user : null;
  return (
    <li class="row" data-operation={change.operation} data-key={change.key}>
      <div class="row-head">
        <span class="operation">{OPERATIONS[change.operation]}</span>
        <strong class="row-name">{nameOf(change)}</strong>
        <code class="row-table">{change.table}</code>
      </div>
      <ul class="news">
        {newsOf(change).map((field) => (
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
        {user && (
          <button class="small" aria-label={`Edit ${user.username}`} onClick={() => edit(user)}>
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
      {before !== null && (
        <del>
          <span class="unseen">was </span>
          {short(before)}
        </del>
      )}
      {before !== null && after !== null && <span aria-hidden="true"> → </span>}
      {after !== null && (
        <ins>
          <span class="unseen">now </span>
          {short(after)}
        </ins>
      )}
    </li>
  );
}

const LONGEST = 120;
const short = (text: string) => (text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text);

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
                  <td>{before ?? ''}</td>
                  <td>{after ?? ''}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </details>
  );
}
