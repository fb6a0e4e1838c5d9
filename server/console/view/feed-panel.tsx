import { signal } from '@preact/signals';
import type { Operation } from '../../../schema/generated/operations.ts';
import { connection } from '../api/socket.ts';
import { type Behind, type Row } from '../state/feed.ts';
import { toldIn } from '../state/documents.ts';
import { fieldsOf } from '../state/images.ts';
import { feed } from '../state/live.ts';
import { chosen, tables } from '../state/schema.ts';
import { FeedRow } from './feed-row.tsx';

/** More rows than anyone reads at once. */
const SHOWN = 60;

/** `type` is of a table's changes. */
const filter = signal<{ type: string; operation: Operation | ''; text: string }>({
  type: '',
  operation: '',
  text: '',
});

export function FeedPanel() {
  const rows = feed.rows.value.filter(isWanted);
  return (
    <section class="card feed-panel" aria-labelledby="feed">
      <div class="card-head">
        <h2 id="feed">Change feed</h2>
        <PauseButton />
      </div>
      <Filters />
      <Notice />
      {rows.length === 0 ? (
        <Empty />
      ) : (
        <ol class="rows" aria-label="Changes, the newest first" tabIndex={0}>
          {rows.slice(0, SHOWN).map((row) => (
            <FeedRow key={row.change.cursor} row={row} />
          ))}
        </ol>
      )}
      <p class="quiet">{countWords(rows.length)}</p>
    </section>
  );
}

/** Those of the schema, or where that is not told, those that changes came of. */
function choices(): [string, string][] {
  const known = (tables.value ?? []).flatMap(({ change, name }): [string, string][] =>
    change ? [[change.type, name]] : [],
  );
  const seen = feed.rows.value.map(({ change }): [string, string] => [change.type, change.table]);
  return [...new Map([...seen, ...known])].toSorted(([, one], [, other]) => (one < other ? -1 : 1));
}

function isWanted({ change }: Row): boolean {
  const { type, operation, text } = filter.value;
  if (type !== '' && change.type !== type) return false;
  if (operation !== '' && change.operation !== operation) return false;
  return text === '' || hasText(change, text.toLowerCase());
}

function hasText(change: Row['change'], text: string): boolean {
  const values = fieldsOf(change).flatMap(({ before, after }) => [before?.full, after?.full]);
  return [change.key, change.table, ...values].some((value) => value?.toLowerCase().includes(text));
}

function PauseButton() {
  const isPaused = feed.isPaused.value;
  return (
    <button class={isPaused ? 'strong' : ''} onClick={() => (isPaused ? feed.resume() : feed.pause())}>
      {isPaused ? 'Resume' : 'Pause'}
    </button>
  );
}

function Filters() {
  const set = (part: Partial<typeof filter.value>) => (filter.value = { ...filter.value, ...part });
  const { type, operation, text } = filter.value;
  return (
    <form class="filters" role="search" aria-label="Filter the changes" onSubmit={(event) => event.preventDefault()}>
      <label>
        Table
        <select value={type} onChange={(event) => set({ type: event.currentTarget.value })}>
          <option value="">All</option>
          {choices().map(([value, name]) => (
            <option key={value} value={value}>
              {name}
            </option>
          ))}
        </select>
      </label>
      <label>
        Operation
        <select value={operation} onChange={(event) => set({ operation: event.currentTarget.value as Operation | '' })}>
          <option value="">All</option>
          <option value="INSERT">Insert</option>
          <option value="UPDATE">Update</option>
          <option value="DELETE">Delete</option>
        </select>
      </label>
      <label class="grow">
        Text
        <input
          type="search"
          value={text}
          placeholder="in any field"
          onInput={(event) => set({ text: event.currentTarget.value })}
        />
      </label>
    </form>
  );
}

/** What the reader of the feed has to know: paused, lost, being caught up with, or just caught up. */
function Notice() {
  const { health, text } = noticeOf();
  return (
    <p class="notice" role="status" data-health={health} hidden={text === ''}>
      {text}
    </p>
  );
}

function noticeOf(): { health: string; text: string } {
  const { value: behind } = feed.behind;
  if (feed.hasGap.value)
    return {
      health: 'stopped',
      text: 'The change log no longer reaches back to where this page was: changes are missing between the rows below.',
    };
  if (feed.isPaused.value)
    return {
      health: 'late',
      text: 'Paused. The place in the feed is held: nothing is lost, and resuming goes on from here.',
    };
  if (connection.value === 'lost')
    return { health: 'stopped', text: 'Connection lost. The place in the feed is held, and the feed goes on from it.' };
  if (behind) return { health: 'late', text: `Catching up: ${changes(behind.count)} so far…` };
  return { health: 'well', text: feed.closed.value ? closedWords(feed.closed.value) : '' };
}

const closedWords = ({ after, count }: Behind) =>
  `Caught up without a gap: ${count === 0 ? 'nothing happened' : changes(count)} while ${AWAY[after]}.`;

const AWAY = { pause: 'paused', loss: 'the connection was lost', reload: 'the page was away' };

const changes = (count: number) => `${count} ${count === 1 ? 'change' : 'changes'}`;

function Empty() {
  const { type, operation, text } = filter.value;
  const isFiltered = type !== '' || operation !== '' || text !== '';
  return (
    <p class="empty">
      {isFiltered && feed.total.value > 0
        ? 'None of the changes so far fit the filter.'
        : 'Nothing has changed yet. Create or change a row, and see the change arrive here from the replica.'}
    </p>
  );
}

function countWords(fitting: number): string {
  const total = feed.total.value;
  if (feed.rows.value.length === 0)
    return 'Every change of every row arrives here once, in the order of the commits on the primary.';
  const shown = Math.min(fitting, SHOWN);
  const counted = `${changes(total)} since this page was opened; the newest ${feed.rows.value.length} are kept, ${shown} shown.`;
  return isAllTold() ? counted : `${counted} Values are told of the table that is chosen above: there are many.`;
}

function isAllTold(): boolean {
  const all = tables.value ?? [];
  return all.length === 0 || toldIn(all, chosen.value).length > 1 || all.length === 1;
}
