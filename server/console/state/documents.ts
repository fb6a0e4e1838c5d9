import { ID, type Mutation, type Table } from './tables.ts';

/** Documents that are made of the schema: as text, since what they answer is known by the tables alone. */
const columnsOf = ({ columns }: Table) => columns.map(({ name }) => name).join(' ');

const rowOf = (table: Table) =>
  [columnsOf(table), ...table.references.map(({ name }) => `${name} { ${ID} }`)].join(' ');

/** A page of the table's rows. */
export function pageOf(table: Table): string {
  const { filter, order } = table;
  const own = [...(filter ? [['filter', filter.type]] : []), ...(order ? [['orderBy', order.type]] : [])];
  const all = [['first', 'Int'], ['after', 'String'], ['last', 'Int'], ['before', 'String'], ...own];
  const variables = all.map(([name, type]) => `$${name}: ${type}`).join(', ');
  const given = all.map(([name]) => `${name}: $${name}`).join(', ');
  return `query Page(${variables}) {
  page: ${table.name}(${given}) {
    nodes { ${rowOf(table)} }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  }
}`;
}

/** How many there are, apart: on a large table it takes longer than the page, or too long. */
export function countOf({ name, filter }: Table): string {
  const [variables, given] = filter ? [`($filter: ${filter.type})`, '(filter: $filter)'] : ['', ''];
  return `query Count${variables} { page: ${name}${given} { totalCount } }`;
}

/** The row with an id. */
export const oneOf = (table: Table): string => `query One($id: ID!) { row: ${table.one}(id: $id) { ${rowOf(table)} } }`;

/** A write, which is answered when the primary has committed. */
export function writeOf(table: Table, { name, row, inputType }: Mutation, takesId: boolean): string {
  const all = [...(takesId ? [[ID, 'ID!']] : []), ...(inputType === undefined ? [] : [['input', inputType]])];
  const variables = all.length === 0 ? '' : `(${all.map(([arg, type]) => `$${arg}: ${type}`).join(', ')})`;
  const given = [...all.map(([arg]) => `${arg}: $${arg}`), 'confirm: COMMITTED'].join(', ');
  return `mutation Write${variables} { written: ${name}(${given}) { bookmark row: ${row} { ${columnsOf(table)} } } }`;
}

/** A document is bounded, so of a large schema the feed does not tell each value of every table. */
const MOST_TABLES = 60;
const MOST_COLUMNS = 400;

/** Tables whose rows the feed tells: all of them where that is not too much, else the one that is looked at. */
export function toldIn(tables: readonly Table[], chosen: Table | undefined): readonly Table[] {
  const count = tables.reduce((sum, { columns }) => sum + columns.length, 0);
  const isLittle = tables.length <= MOST_TABLES && count <= MOST_COLUMNS;
  return (isLittle ? tables : chosen ? [chosen] : []).filter(({ change }) => change);
}

/** The name that the row before a change has in the feed: rows of two tables under one name would have to be alike. */
export const beforeOf = ({ type }: Table) => `before${type}`;

/** The change feed of all tables, with the rows of some. */
export function feedOf(told: readonly Table[]): string {
  const rows = told.map((table) => {
    const { type, row } = table.change!;
    return `    ... on ${type} { ${row} { ...${table.type}Row } ${beforeOf(table)}: before { ...${table.type}Row } }`;
  });
  const fragments = told.map((table) => `fragment ${table.type}Row on ${table.type} { ${columnsOf(table)} }`);
  return `subscription Changes($after: Cursor, $latest: Int) {
  changes(after: $after, latest: $latest) {
    __typename
    ... on Change { cursor operation table key changedFields committedAt appliedAt lagMs }
    ... on CaughtUp { cursor }
${rows.join('\n')}
  }
}
${fragments.join('\n')}`;
}
