import { kebab, pascal, type Column, type Definition, type Parent } from './definition.ts';

/** The files about a table, by their paths, as a person would write them but for their lines, which are prettier's. */
export function filesFor(definition: Definition, number: string): Record<string, string> {
  const { table, one } = definition;
  return {
    [`sql/primary/${number}.do.${kebab(table)}.sql`]: primarySql(definition),
    [`sql/replica/${number}.do.${kebab(table)}.sql`]: replicaSql(definition),
    [`schema/${kebab(table)}/${kebab(one)}.type.ts`]: typesFile(definition),
    [`server/store/${kebab(table)}.ts`]: storeFile(definition),
    [`server/loaders/${kebab(table)}.ts`]: loadersFile(definition),
    [`server/resolvers/${kebab(one)}.resolver.ts`]: resolverFile(definition),
  };
}

const list = (columns: Column[]) => columns.map(({ name }) => name).join(', ');

type Child = Column & { parent: Parent };
const childColumns = ({ columns }: Definition) =>
  columns.filter((column): column is Child => column.parent !== undefined);

function primarySql(definition: Definition): string {
  const { table, columns, ddl, isPartial } = definition;
  const sent = isPartial ? ` (${list(columns)})` : '';
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

const orNull = (type: string, isNullable: boolean) => (isNullable ? `${type} | null` : type);

/** What clients write: the primary fills the rest by itself. */
const written = ({ columns }: Definition) =>
  columns.filter(({ name }) => !['id', 'created_at', 'updated_at'].includes(name));
const isRequired = ({ isNullable, hasDefault }: Column) => !isNullable && !hasDefault;

const IMPORTS = {
  'class-validator': ['IsBoolean', 'IsInt', 'IsNumber'],
  'type-graphql': ['Field', 'ID', 'InputType', 'Int', 'ObjectType'],
  '../change.type.ts': ['Change'],
  '../page.type.ts': ['connectionOf', 'edgeOf'],
  '../rows.type.ts': ['changeOf', 'payloadOf'],
  '../rules.ts': ['IsId', 'IsMoment', 'IsText', 'WhereGiven', 'WhereNotNull'],
  '../scalars.ts': ['DateTime', 'Double'],
};

function typesFile(definition: Definition): string {
  const { one, type, columns } = definition;
  const shown = columns.filter(({ parent }) => !parent);
  const body = `@ObjectType()
export class ${type} {
${shown.map(({ field, kind, isNullable }) => `${fieldOf(kind.graphql, isNullable)} ${field}!: ${orNull(kind.type, isNullable)};`).join('\n')}
}

@ObjectType()
class ${type}Edge extends edgeOf(${type}) {}

@ObjectType()
export class ${type}Connection extends connectionOf(${type}, ${type}Edge) {}

@ObjectType()
export class ${type}Payload extends payloadOf(${type}, '${one}') {}

@ObjectType({ implements: Change })
export class ${type}Change extends changeOf(${type}, '${one}') {}

@InputType()
export class Create${type}Input {
${written(definition)
  .map((column) => inputField(column, isRequired(column)))
  .join('\n')}
}

@InputType({ description: 'What is left out stays' })
export class Update${type}Input {
${written(definition)
  .map((column) => inputField(column, false))
  .join('\n')}
}
`;
  const imports = Object.entries(IMPORTS).map(([from, names]): [string, string[]] => [
    from,
    names.filter((name) => new RegExp(`\\b${name}\\b`).test(body)),
  ]);
  const lines = imports
    .filter(([, names]) => names.length > 0)
    .map(([from, names]) => `import { ${names.join(', ')} } from '${from}';`);
  return `${lines.join('\n')}\n\n${body}`;
}

const fieldOf = (graphql: string, isNullable: boolean) =>
  `@Field(() => ${graphql}${isNullable ? ', { nullable: true }' : ''})`;

/** One that may be left out may not therefore be null: that is refused where the column takes none. */
function inputField({ field, kind, isNullable }: Column, required: boolean): string {
  if (required) return `@${kind.rule} ${fieldOf(kind.graphql, false)} ${field}!: ${kind.type};`;
  const when = isNullable ? '@WhereNotNull()' : '@WhereGiven()';
  return `${when} @${kind.rule} ${fieldOf(kind.graphql, true)} ${field}?: ${orNull(kind.type, isNullable)};`;
}

function storeFile(definition: Definition): string {
  const { table, one, many, type, columns } = definition;
  const names = (wanted: Column[]) => wanted.map(({ field }) => `'${field}'`).join(' | ') || 'never';
  const required = names(written(definition).filter(isRequired));
  const optional = names(written(definition).filter((column) => !isRequired(column)));
  return `import { Table } from './table.ts';

/** A row of ${table} as both sides have it. */
export interface ${type}Row {
${columns.map(({ field, kind, isNullable }) => `${field}: ${orNull(kind.type, isNullable)};`).join('\n')}
}

export type ${type}Values = Pick<${type}Row, ${required}>${optional === 'never' ? '' : ` & Partial<Pick<${type}Row, ${optional}>>`};

export const ${many} = new Table<${type}Row, object, 'CREATED_AT', ${type}Values>({
  name: '${table}',
  one: '${one}',
  columns: (sql) => sql\`${list(columns)}\`,
  orders: { CREATED_AT: { column: 'createdAt', type: 'timestamptz' } },
  matches: () => [],
});
`;
}

const listingOf = (many: string, { parent }: Child) => `${many}By${pascal(parent.field)}`;

function loadersFile(definition: Definition): string {
  const { table, one, many } = definition;
  const children = childColumns(definition);
  return `import { ${many} } from '../store/${kebab(table)}.ts';
import { byId } from './by-id.ts';
import { listing } from './listing.ts';
${children.length > 0 ? "import { listingUnder } from './listing-under.ts';\n" : ''}
export const ${one}ById = byId(${many});
export const all${pascal(many)} = listing(${many});
${children.map((child) => `export const ${listingOf(many, child)} = listingUnder(${many}, '${child.field}');`).join('\n')}
`;
}

function resolverFile(definition: Definition): string {
  const { table, one, many, type, columns } = definition;
  const children = childColumns(definition);
  const parents = parentsOf(definition);
  const times = columns.filter(({ kind }) => kind.graphql === 'DateTime').map(({ field }) => `'${field}'`);
  const [field, root, row] = children.length > 0 ? ['FieldResolver, ', ', Root', `, type ${type}Row`] : ['', '', ''];
  const own = `'../../schema/${kebab(table)}/${kebab(one)}.type.ts'`;
  return `import { Args, Ctx, ${field}Query, Resolver${root} } from 'type-graphql';
import { ${type}, ${type}Change, ${type}Connection, ${type}Payload } from ${own};
import { Create${type}Input, Update${type}Input } from ${own};
import { PageArgs } from '../../schema/page.type.ts';
${parents.map((parent) => `import { ${parent.type} } from '../../schema/${kebab(parent.table)}/${kebab(parent.one)}.type.ts';`).join('\n')}
import { ${[`all${pascal(many)}`, `${one}ById`, ...children.map((child) => listingOf(many, child))].join(', ')} } from '../loaders/${kebab(table)}.ts';
${parents.map((parent) => `import { ${parent.one}ById } from '../loaders/${kebab(parent.table)}.ts';`).join('\n')}
${[...parents.map((parent) => `import { ${parent.many} } from '../store/${kebab(parent.table)}.ts';`), `import { ${many}${row} } from '../store/${kebab(table)}.ts';`].join('\n')}
import type { Context } from './context.ts';
import { connect, NEWEST_FIRST } from './page.ts';
import { watch, writableResolver } from './rows.ts';

export const ${one}Changes = watch(${many}, ${type}Change, [${times.join(', ')}]);

@Resolver(() => ${type})
export class ${type}Resolver extends writableResolver({
  table: ${many},
  byId: ${one}ById,
  type: ${type},
  payload: ${type}Payload,
  create: Create${type}Input,
  update: Update${type}Input,
  changes: ${one}Changes,${children.length > 0 ? `\n  parents: { ${children.map(({ field: key, parent }) => `${key}: ${parent.many}`).join(', ')} },` : ''}
}) {
  @Query(() => ${type}Connection)
  ${many}(@Args(() => PageArgs) page: PageArgs, @Ctx() context: Context) {
    return connect(context, all${pascal(many)}, {}, page, NEWEST_FIRST);
  }
${children.map((child) => toParent(type, child)).join('')}}
${parents.map((parent) => toChildren(definition, parent)).join('')}`.replaceAll('\n\nimport', '\nimport');
}

/** Each table once, though several columns may name it. */
export function parentsOf(definition: Definition): Parent[] {
  return [...new Map(childColumns(definition).map(({ parent }) => [parent.table, parent])).values()];
}

const toParent = (type: string, { field, isNullable, parent }: Child) => `
  @FieldResolver(() => ${parent.type}, { nullable: true })
  ${parent.field}(@Root() { ${field} }: ${type}Row, @Ctx() { loaders }: Context) {
    return ${isNullable ? `${field} === null ? null : ` : ''}loaders.load(${parent.one}ById, ${field});
  }
`;

/** Where several columns name the parent's table, each has a list of its own there. */
function toChildren(definition: Definition, parent: Parent): string {
  const { many, type } = definition;
  const own = childColumns(definition).filter((child) => child.parent.table === parent.table);
  const fields = own.map(
    (child) => `
  @FieldResolver(() => ${type}Connection)
  ${own.length === 1 ? many : listingOf(many, child)}(@Root() { id }: ${parent.type}, @Args(() => PageArgs) page: PageArgs, @Ctx() context: Context) {
    return connect(context, ${listingOf(many, child)}, id, page, NEWEST_FIRST);
  }`,
  );
  return `
@Resolver(() => ${parent.type})
export class ${pascal(many)}Of${parent.type}Resolver {${fields.join('\n')}
}
`;
}
