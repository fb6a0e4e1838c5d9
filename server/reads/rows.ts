import type { ClassType } from 'type-graphql';
import { declarationOf, type Declaration } from '../declare/declaration.ts';
import { Table, type Filter } from '../database/sql/table.ts';
import { listing, type Listing } from './listing.ts';
import { listingUnder } from './listing-under.ts';
import { Source } from './batcher.ts';

/** How the rows of a declared table are read and written. */
export interface Rows<Row extends { id: string }> {
  declaration: Declaration<Row>;
  table: Table<Row>;
  byId: Source<string, Row | null>;
  all: Listing<Filter, Row>;
  /** Those under the row that the field names. */
  under: (field: string) => Listing<string, Row>;
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
  const listings = new Map<string, Listing<string, Row>>();
  return {
    declaration,
    table,
    byId: byId(table),
    all: listing(table),
    under(field) {
      const made = listings.get(field) ?? listingUnder(table, field);
      listings.set(field, made);
      return made;
    },
  };
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
  );
}
