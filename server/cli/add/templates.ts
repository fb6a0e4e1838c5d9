import { declarationFile, kebab, pascal, type Column, type Definition, type Parent } from './definition.ts';

/** The files about a table, by their paths, as a person would write them but for their lines, which are prettier's. */
export function filesFor(definition: Definition, number: string): Record<string, string> {
  const { table } = definition;
  return {
    [`sql/primary/${number}.do.${kebab(table)}.sql`]: primarySql(definition),
    [`sql/replica/${number}.do.${kebab(table)}.sql`]: replicaSql(definition),
    [declarationFile(table)]: declaration(definition),
  };
}

const list = (columns: Column[]) => columns.map(({ name }) => name).join(', ');

type Child = Column & { parent: Parent };
const childColumns = ({ columns }: Definition) =>
  columns.filter((column): column is Child => column.parent !== undefined);

function primarySql(definition: Definition): string {
  const { table, columns, ddl, withheld } = definition;
  const sent = withheld.length > 0 ? ` (${list(columns)})` : '';
  return `-- A database without the table gets it as it was when this file was made.
create table if not exists ${table} (
  ${ddl.join(',\n  ')}
);

-- The same as on the replica. They hold up writers: on a big table, make them by hand before, concurrently.
${indexes(definition, 'if not exists ')}

grant select${sent} on ${table} to readback_writer, readback_reader;
grant insert, update, delete on ${table} to readback_writer;

alter publication readback add table ${table}${sent};
`;
}

function replicaSql(definition: Definition): string {
  const { table, columns } = definition;
  const suffix = ({ name, isNullable }: Column) => (name === 'id' ? ' primary key' : isNullable ? '' : ' not null');
  return `create table ${table} (
  ${columns.map((column) => `${column.name} ${column.type}${suffix(column)}`).join(',\n  ')}
);

${indexes(definition)}

grant select on ${table} to readback_reader;

select readback.watch('${table}', 'id');
`;
}

/** Pages are read from an index that ends in the id: of all rows, and of those under each parent. */
function indexes(definition: Definition, how = ''): string {
  const keys = [[], ...childColumns(definition).map(({ name }) => [name])].map((key) => [...key, 'created_at']);
  const { table } = definition;
  return keys
    .map((key) => `create index ${how}${table}_${key.join('_')} on ${table} (${key.join(', ')}, id);`)
    .join('\n');
}

const IMPORTS = {
  'type-graphql': ['ID', 'Int'],
  '../../server/declare/declaration.ts': ['BelongsTo', 'Column', 'Generated', 'Key', 'Table'],
  '../../server/declare/scalars.ts': ['DateTime', 'Double'],
};

function declaration(definition: Definition): string {
  const { table, type, columns } = definition;
  const options = `orderBy: ['createdAt']`;
  const body = `/** For administrators alone, until \`rights\` says who else may what. */
@Table('${table}', { ${options} })
export class ${type} {
${columns.map((column) => field(definition, column)).join('\n')}
}
`;
  const used = (names: string[]) => names.filter((name) => new RegExp(`\\b${name}\\b`).test(body));
  const parents = new Map(childColumns(definition).map(({ parent }) => [parent.type, parent.table]));
  const lines = [
    ...Object.entries(IMPORTS).map(([from, names]): [string, string[]] => [from, used(names)]),
    ...[...parents]
      .filter(([parent]) => parent !== type)
      .map(([parent, from]): [string, string[]] => [`./${kebab(from)}.ts`, [parent]]),
  ].filter(([, names]) => names.length > 0);
  return `${lines.map(([from, names]) => `import { ${names.join(', ')} } from '${from}';`).join('\n')}\n\n${body}`;
}

/** What the primary makes by itself. */
const GENERATED = new Set(['created_at', 'updated_at']);

function field(definition: Definition, column: Column): string {
  const { name, kind, isNullable, hasDefault, parent } = column;
  const type = isNullable ? `${kind.type} | null` : kind.type;
  const nullable = isNullable ? ['nullable: true'] : [];
  const end = `${column.field}!: ${type};`;
  if (name === 'id') return `@Key(() => ${kind.graphql}) ${end}`;
  if (parent) {
    const options = [`as: '${parent.field}'`, `many: '${manyOf(definition, { ...column, parent })}'`, ...nullable];
    return `@BelongsTo(() => ${parent.type}, { ${options.join(', ')} }) ${end}`;
  }
  const isGenerated = GENERATED.has(name);
  const own = isGenerated ? [] : [...kind.options, ...(hasDefault ? ['hasDefault: true'] : [])];
  const options = [...nullable, ...own];
  const said = options.length > 0 ? `, { ${options.join(', ')} }` : '';
  return `@${isGenerated ? 'Generated' : 'Column'}(() => ${kind.graphql}${said}) ${end}`;
}

/** Where several columns name one parent's table, each has a list of its own there. */
function manyOf(definition: Definition, { parent }: Child): string {
  const same = childColumns(definition).filter((child) => child.parent.table === parent.table);
  return same.length === 1 ? definition.many : `${definition.many}By${pascal(parent.field)}`;
}
