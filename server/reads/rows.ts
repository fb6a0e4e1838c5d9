import type { ClassType } from 'type-graphql';
import { declarationOf, type Declaration, type DeclaredColumn } from '../declare/declaration.ts';
import { Table, type Filter } from '../database/sql/table.ts';
import { listing, type Listing } from './listing.ts';
import { listingUnder, type Parent } from './listing-under.ts';
import { Source } from './batcher.ts';

/** How the rows of a declared table are read and written. */
export interface Rows<Row extends { id: string }> {
  declaration: Declaration<Row>;
  table: Table<Row>;
  byId: Source<string, Row | null>;
  all: Listing<Filter, Row>;
  /** By the JSON array of what they have in these columns, which are unique. */
  by: (columns: readonly DeclaredColumn[]) => Source<string, Row | null>;
  /** Those under the row that the columns name. */
  under: (columns: readonly DeclaredColumn[]) => Listing<Parent, Row>;
}

const known = new WeakMap<object, unknown>();

/** Once for each class: whoever asks shares its batches. */
export function rowsOf<Row extends { id: string }>(type: ClassType<Row>): Rows<Row> {
  const made = (known.get(type) as Rows<Row> | undefined) ?? makeRows(declarationOf(type));
  known.set(type, made);
  return made;
}

function makeRows<Row extends { id: string }>(declaration: Declaration<Row>): Rows<Row> {
  const table = new Table<Row>(declaration);
  const listings = new Map<string, Listing<Parent, Row>>();
  const sources = new Map<string, Source<string, Row | null>>();
  return {
    declaration,
    table,
    byId: byId(table),
    all: listing(table),
    by: (columns) => once(sources, columns, () => byColumns(table, columns)),
    under: (columns) => once(listings, columns, () => listingUnder(table, columns)),
  };
}

/** Whoever asks by the same columns shares what is made for them. */
function once<Made>(all: Map<string, Made>, columns: readonly DeclaredColumn[], make: () => Made): Made {
  const fields = columns.map(({ field }) => field).join();
  const made = all.get(fields) ?? make();
  all.set(fields, made);
  return made;
}

function byColumns<Row extends { id: string }>(
  table: Table<Row>,
  columns: readonly DeclaredColumn[],
): Source<string, Row | null> {
  return new Source(
    `${table.name} by ${columns.map(({ field }) => field).join(', ')}`,
    (texts) => texts,
    async (sql, keys) => {
      const texts = keys.map((key) => JSON.parse(key) as string[]);
      const { rows, seen } = await table.byColumns(sql, columns, texts);
      return { values: rows, seen };
    },
    'keys',
    table.name,
  );
}

/** Rows by their id, null where there is none: one statement for all. */
function byId<Row extends { id: string }>(table: Table<Row>): Source<string, Row | null> {
  return new Source(
    `${table.name} by id`,
    (id) => id,
    async (sql, ids) => {
      const { rows, seen } = await table.byIds(sql, ids);
      return { values: rows, seen };
    },
    'keys',
    table.name,
  );
}
