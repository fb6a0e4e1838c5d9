import type { ColumnShape, TableShape } from './shapes.ts';

/** What a replica would stumble over. */
export interface Obstacle {
  table: string;
  found: string;
  remedy: string;
  /** Nobody could apply it: the primary sends no key. */
  isKeyless?: boolean;
}

export const obstacleInWords = ({ found, remedy }: Obstacle): string => `${found}: ${remedy}`;

/** What a replica with the tables `taking` would stumble over in what `sent` describes. Pure. */
export function obstacles(sent: TableShape[], taking: TableShape[]): Obstacle[] {
  return sent.flatMap(({ table, columns }) => {
    const own = taking.find((other) => other.table === table)?.columns;
    if (!own) return [{ table, found: `${table} is missing`, remedy: 'create it.' }];
    const named = (name: string) => (column: ColumnShape) => column.name === name;
    return [
      ...keyObstacle(table, keyOf(columns), keyOf(own)),
      ...columns.flatMap((column) => columnObstacle(table, column, own.find(named(column.name)))),
      ...own.filter(({ name }) => !columns.some(named(name))).flatMap((column) => unsentObstacle(table, column)),
    ];
  });
}

const keyOf = (columns: ColumnShape[]) =>
  columns
    .filter(({ isKey }) => isKey)
    .map(({ name }) => name)
    .toSorted()
    .join(', ');

/** By its key the apply worker finds the row that an update or a delete is of. */
function keyObstacle(table: string, sent: string, taking: string): Obstacle[] {
  const found = `${table} needs a primary key, and all of it published`;
  if (sent === '') return [{ table, found, remedy: 'updates and deletes need it.', isKeyless: true }];
  if (sent === taking) return [];
  return [
    { table, found: `${table} has the primary key (${taking})`, remedy: `make it (${sent}), as on the primary.` },
  ];
}

function columnObstacle(table: string, sent: ColumnShape, taking: ColumnShape | undefined): Obstacle[] {
  const it = (found: string, remedy: string) => [{ table, found: `${table}.${sent.name} ${found}`, remedy }];
  if (!taking) return it(`(${sent.type}) is missing`, 'add it.');
  if (taking.isGenerated) return it('is generated, so nothing can be written there', 'make it an ordinary column.');
  if (!fits(sent, taking))
    return it(`is ${describe(taking)}, which does not take every ${describe(sent)}`, 'make it that type.');
  if (sent.isNullable && !taking.isNullable) return it('is not null, and the primary may send null', 'drop not null.');
  return [];
}

/** Of a column that the replica has besides: it must be filled by itself. */
function unsentObstacle(table: string, { name, isNullable, isGenerated, default: value }: ColumnShape): Obstacle[] {
  if (isNullable || isGenerated || value !== null) return [];
  const found = `${table}.${name} is not null without a default, and the primary does not send it`;
  return [{ table, found, remedy: 'give it a default, or drop not null.' }];
}

const describe = ({ type, labels }: ColumnShape) => (labels ? `${type} (${labels.join(', ')})` : type);

/** Every value of the one type reads as the same value of the other: values travel as text. */
export function fits(
  sent: Pick<ColumnShape, 'type' | 'labels'>,
  taking: Pick<ColumnShape, 'type' | 'labels'>,
): boolean {
  if (sent.labels && taking.labels)
    return isList(sent) === isList(taking) && sent.labels.every((label) => taking.labels!.includes(label));
  const { type } = taking;
  const isSame = [sent.type, withoutBound(sent.type)].includes(type);
  return isSame || isWider(sent.type, type) || lengthOf(sent.type) <= lengthOf(type);
}

/** Of these a column without a bound takes what one with a bound has, as it is. */
export const withoutBound = (type: string): string =>
  type.replace(/^(varchar|character varying|varbit|bit varying|numeric)\([^)]*\)/, '$1');

const isList = ({ type }: Pick<ColumnShape, 'type'>) => type.endsWith('[]');

export const isWider = (type: string, than: string): boolean => WIDER[type]?.includes(than) ?? false;

const WIDER: Record<string, string[]> = {
  smallint: ['integer', 'bigint', 'numeric'],
  integer: ['bigint', 'numeric'],
  bigint: ['numeric'],
  real: ['double precision'],
};

/** Of a text's type the most characters; NaN, which no comparison holds for, of any other. */
function lengthOf(type: string): number {
  if (type === 'text' || type === 'character varying') return Infinity;
  return Number(/^character varying\((\d+)\)$/.exec(type)?.[1]);
}
