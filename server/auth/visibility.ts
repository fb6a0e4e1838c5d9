import { tableNamed, type Declaration } from '../declare/declaration.ts';
import { toRow } from '../feed/change.ts';
import type { FeedChange } from '../feed/recent.ts';
import type { SnapshotRow } from '../feed/snapshot.ts';
import type { Sight } from '../feed/stream.ts';
import type { Image } from '../database/sql/change-log.ts';
import { seesColumn, visible } from './rights.ts';
import { mayAll, type Viewer } from './viewer.ts';

/**
 * What viewers see of the feed: that of a database with the rows and fields in it that they may see. A row that comes
 * into view is an INSERT, one that leaves it a DELETE, and a change that shows in nothing is none.
 *
 * All viewers but administrators see the same of everybody else's rows, and share what is rendered of them. Of their own
 * they see more: those events are rendered for them apart.
 */
export function sightOf(viewer: Viewer): Sight {
  const isWhole = mayAll(viewer);
  const own = isWhole ? '' : (viewer.user?.id ?? '');
  return {
    key: isWhole ? 'all' : 'shared',
    own,
    ownersIn: isWhole ? nobody : ownersIn,
    see: (change, audience) => (isWhole ? told(change) : seen(change, audienceViewer(viewer, audience))),
    seeRow: (row, audience) => seenRow(row, isWhole ? viewer : audienceViewer(viewer, audience)),
  };
}

/** Whom an event is rendered for, for all of one audience: the shared one owns nothing. */
export function audienceViewer(viewer: Viewer, audience: string): Viewer {
  if (mayAll(viewer) || !viewer.user) return viewer;
  return { isOpen: false, user: { ...viewer.user, id: audience } };
}

type SeenEvent = Parameters<Sight['ownersIn']>[0];

const nobody = () => [];

function ownersIn(event: SeenEvent): string[] {
  const table = event.kind === 'change' ? event.change.tableName : event.row.table;
  const images = event.kind === 'change' ? [event.change.before, event.change.after] : [event.row.image];
  const declaration = tableNamed(table);
  if (!declaration) return [];
  const rows = images.flatMap((image) => (image ? [toRow(image, declaration)] : []));
  return [...new Set(rows.flatMap((row) => declaration.owners.map((owner) => String(row[owner]))))];
}

/** Without the columns that are nobody's: those that say which tokens are good. */
function told(change: FeedChange): FeedChange {
  const table = tableNamed(change.tableName);
  if (!table) return change;
  const pick = (image: Image | null) => image && only(image, table, () => true);
  return { ...change, before: pick(change.before), after: pick(change.after) };
}

function seen(change: FeedChange, viewer: Viewer): FeedChange | null {
  const before = seenImage(viewer, change.tableName, change.before);
  const after = seenImage(viewer, change.tableName, change.after);
  if (!before && !after) return null;
  const operation = before ? (after ? 'UPDATE' : 'DELETE') : 'INSERT';
  if (operation === 'UPDATE' && JSON.stringify(before) === JSON.stringify(after)) return null;
  return { ...change, operation, before, after };
}

function seenImage(viewer: Viewer, name: string, image: Image | null): Image | null {
  const table = tableNamed(name);
  if (image === null || !table) return null;
  const row = toRow(image, table);
  return visible(viewer, table, row) && only(image, table, (column) => seesColumn(viewer, column, row));
}

function seenRow(row: SnapshotRow, viewer: Viewer): SnapshotRow | null {
  const table = tableNamed(row.table);
  return table && visible(viewer, table, toRow(row.image, table)) ? row : null;
}

/** The declared columns that are wanted. */
function only(image: Image, { columns }: Declaration, isWanted: (column: Declaration['key']) => boolean): Image {
  const there = columns.filter((column) => column.name in image && isWanted(column));
  return Object.fromEntries(there.map(({ name }) => [name, image[name]]));
}
