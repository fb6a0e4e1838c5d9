import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { isObjectType, type GraphQLSchema } from 'graphql';
import type { Config } from '../boot/config.ts';
import { block, literal } from '../database/sql/columns.ts';
import { allTables, type Declaration } from '../declare/declaration.ts';
import { buildGraphQLSchema } from '../graphql/schema/schema.ts';
import { SetupError } from '../lib/errors.ts';
import { projectRoot } from '../lib/root.ts';
import type { Say } from '../lib/logger.ts';
import { appliedIn, seriesIn } from '../setup/migrations.ts';
import { withServers } from '../setup/servers.ts';
import { othersNamed, tablesOf, type Found, type OtherRelation } from './add/catalog.ts';
import { define, nameTables, obstaclesOf, relate, type Choices, type Definition, type Named } from './add/define.ts';
import { kebab, Taken } from './add/names.ts';
import { foreignWrites } from './add/triggers.ts';
import { importersOf, PROJECT, registered, unregistered } from './add/register.ts';
import { declarationFile, filesFor } from './add/templates.ts';
import { write } from './add/write.ts';
import { withDatabases } from './databases.ts';

/** Which tables: those that are named, or all that are not served yet. */
export interface AddOptions extends Choices {
  all?: boolean;
  /** Of these schemas; left out: of all. */
  schemas?: readonly string[] | null;
  /** What to do next is said by `init`. */
  partOfInit?: true | undefined;
}

/** Writes the files that serve tables of the primary, and says what to run next; changes no database. */
export async function addCommand(
  names: readonly string[],
  options: AddOptions,
  config: Config,
  say: Say,
  root = projectRoot,
): Promise<void> {
  if (names.length === 0 && !options.all)
    throw new SetupError(
      'Expected names of tables, or --all, and got neither: run readback add TABLE…, or readback add --all.',
    );
  const [found, others] = await withDatabases(config, say, (databases) =>
    withServers(databases, config, 'add', async ({ primary: { admin } }) => [
      await tablesOf(admin, null),
      await othersNamed(admin, names),
    ]),
  );
  const served = servedTables(root);
  const wanted = options.all
    ? found.filter(({ table, schema }) => !served.has(table) && (options.schemas?.includes(schema) ?? true))
    : names.map((name) => named(name, found, others, served));
  const [taken, refused] = judged(wanted, options);
  if (refused.length > 0 && (!options.all || taken.length === 0)) throw new SetupError(linesOf(refused).join('\n'));
  const definitions = defined(taken, served, root, options);
  writeAll(definitions, served, root, say);
  const isServed = (name: string) => served.has(name) || taken.some(({ table }) => table === name);
  report(
    definitions,
    taken.flatMap((table) => foreignWrites(table, found, isServed)),
    refused,
    options.partOfInit ? [] : [NEXT],
    say,
  );
}

function named(
  name: string,
  found: readonly Found[],
  others: readonly OtherRelation[],
  served: ReadonlyMap<string, Served>,
): Found {
  const table = found.find((one) => one.table === name || `${one.schema}.${one.bare}` === name || one.bare === name);
  const other = table ? undefined : others.find((one) => one.name === name);
  if (other) throw new SetupError(insteadOf(other));
  if (!table)
    throw new SetupError(
      `The primary has no table ${name}: it has ${found.map((one) => one.table).join(', ') || 'none'}. Give one of them, with its schema where that is not public.`,
    );
  const { file } = served.get(table.table) ?? {};
  if (file !== undefined)
    throw new SetupError(
      `${declarationFile(file)} declares it already: a column that is new is a line more there. To have it written again, run readback add --undo ${table.table} first.`,
    );
  return table;
}

/** What to do where it is no table that could be taken. */
function insteadOf({ table, kind, whole }: OtherRelation): string {
  switch (kind) {
    case 'view':
      return `${table} is a view, and readback add takes tables alone: declare it by hand with view: true, and make the same view on the replicas by a file under sql/replica (docs/tables.md, "A view").`;
    case 'materialized view':
      return `${table} is a materialized view, of which PostgreSQL sends no rows: make a view of the same query and declare that (docs/tables.md, "A view"), or fill a table with its rows and add that.`;
    case 'foreign table':
      return `${table} is a foreign table, whose rows are on another server, and PostgreSQL sends none of them: fill a table with them and add that, or give Readback that server.`;
    case 'sequence':
      return `${table} is a sequence, which has no rows: add the table whose column takes its values from it.`;
    case 'partition':
      return `${table} is a partition, and is served with the table that it is of: run readback add ${whole}.`;
  }
}

type Refused = [table: Found, reasons: string[]];

function judged(tables: readonly Found[], choices: Choices): [taken: Found[], refused: Refused[]] {
  const judgements = tables.map((table): Refused => [table, obstaclesOf(table, choices)]);
  return [
    judgements.flatMap(([table, reasons]) => (reasons.length === 0 ? [table] : [])),
    judgements.filter(([, reasons]) => reasons.length > 0),
  ];
}

const linesOf = (refused: readonly Refused[]) =>
  refused.flatMap(([{ table }, reasons]) => reasons.map((reason) => `${table}: ${reason}`));

/** What serves a table: the type of its rows, and the file that declares it, without its folder and end. */
export interface Served {
  type: string;
  file: string;
}

/** The tables that have a declaration in the project, by their names in SQL. */
export function servedTables(root: string): Map<string, Served> {
  const folder = join(root, 'schema/tables');
  return new Map(
    filesIn(folder).flatMap((file) =>
      [
        ...readFileSync(join(folder, `${file}.ts`), 'utf8').matchAll(
          /^@Table\(\s*('(?:[^'\\]|\\.)+'|"(?:[^"\\]|\\.)+")[\s\S]*?^export class (\w+)/gm,
        ),
      ].map(([, table, type]) => [textOf(table!), { type: type!, file }] as const),
    ),
  );
}

const filesIn = (folder: string) =>
  existsSync(folder)
    ? readdirSync(folder).flatMap((name) => (name.endsWith('.ts') ? [name.slice(0, -'.ts'.length)] : []))
    : [];

/** What a text in code stands for. */
const textOf = (code: string): string =>
  JSON.parse(
    `"${code.slice(1, -1).replace(/\\'|"|\\./g, (part) => ({ "\\'": "'", '"': '\\"' })[part] ?? part)}"`,
  ) as string;

function defined(
  tables: readonly Found[],
  served: ReadonlyMap<string, Served>,
  root: string,
  choices: AddOptions,
): Definition[] {
  const schema = buildGraphQLSchema();
  const roots = [schema.getQueryType(), schema.getMutationType(), schema.getSubscriptionType()];
  const fields = roots.flatMap((type) => Object.keys(type?.getFields() ?? {}));
  // The list of tables imports their types beside what it names already, such as Project.
  const listed = readFileSync(join(root, PROJECT), 'utf8').match(/\b[A-Z]\w*/g) ?? [];
  const servedTypes = [...served].map(([table, { type }]) => [table, type] as const);
  const taken = new Taken(
    [...Object.keys(schema.getTypeMap()), ...servedTypes.map(([, type]) => type), ...listed],
    fields,
  );
  const names = nameTables(tables, taken, choices.one);
  const types = new Map([...servedTypes, ...tables.map(({ table }, index) => [table, names[index]!.type] as const)]);
  const all = tables.map((table, index) => define(table, names[index]!, types, taken, choices));
  // What is served is known as it was built: `readback` builds what has changed before it runs a command.
  const named = new Map([...allTables().map(servedName), ...all.map(definedName)]);
  for (const one of all) relate(one, named);
  for (const relation of all.flatMap(({ relations }) => relations)) {
    const parent = all.find(({ found }) => found.table === relation.parent.table);
    if (!relation.isUnindexed || !parent) continue;
    parent.named.push(relation.targets);
    relation.isUnindexed = false;
  }
  clearLists(all, schema);
  return all;
}

const servedName = ({ name, type, one, key, columns }: Declaration): [string, Named] => [
  name,
  {
    type: type.name,
    one,
    key: key.map((column) => column.name),
    fields: new Map(columns.map((column) => [column.name, column.field])),
  },
];

const definedName = ({ found, type, one, key, columns }: Definition): [string, Named] => [
  found.table,
  {
    type,
    one,
    key: key.map((column) => column.found.name),
    fields: new Map(columns.map((column) => [column.found.name, column.field])),
  },
];

/** A list of children is a field of their parent's type, beside all that this has. */
function clearLists(definitions: readonly Definition[], schema: GraphQLSchema): void {
  const served = allTables().map(({ name, type }) => {
    const { [type.name]: made } = schema.getTypeMap();
    return [name, new Set(isObjectType(made) ? Object.keys(made.getFields()) : [])] as const;
  });
  const added = definitions.map(({ found, columns, relations }) => {
    const own = columns.flatMap(({ field, parent }) => [field, parent?.as ?? field]);
    return [found.table, new Set(['id', ...own, ...relations.map(({ parent }) => parent.as)])] as const;
  });
  const fields = new Map([...served, ...added]);
  for (const { columns, relations } of definitions)
    for (const { parent } of [...columns, ...relations]) {
      if (!parent) continue;
      const taken = fields.get(parent.table) ?? new Set();
      while (taken.has(parent.many)) parent.many += 'List';
      taken.add(parent.many);
    }
}

function writeAll(
  definitions: readonly Definition[],
  served: ReadonlyMap<string, Served>,
  root: string,
  say: Say,
): void {
  const first = nextNumber(root);
  const own = filesOf(definitions, filesIn(join(root, 'schema/tables')));
  const all = new Map([...[...served].map(([table, { file }]) => [table, file] as const), ...own]);
  const files = definitions.map((one, index) => filesFor(one, String(first + index).padStart(4, '0'), all));
  const added = Object.assign({}, ...files) as Record<string, string>;
  const list = registered(
    definitions.map(({ found: { table }, type }) => ({ file: own.get(table)!, type })),
    readFileSync(join(root, PROJECT), 'utf8'),
  );
  write({ ...added, [PROJECT]: list }, root);
  for (const path of Object.keys(added)) say(`wrote    ${path}`);
  say(`changed  ${PROJECT}`);
}

/** By tables. Names in SQL that differ in case, or in what is no letter, are one in kebab case. */
function filesOf(definitions: readonly Definition[], there: readonly string[]): Map<string, string> {
  const taken = new Set(there);
  const free = (name: string) => {
    let file = name;
    for (let number = 2; taken.has(file); number++) file = `${name}-${number}`;
    taken.add(file);
    return file;
  };
  return new Map(definitions.map(({ found: { table } }) => [table, free(kebab(table) || 'table')]));
}

function report(
  definitions: readonly Definition[],
  triggers: readonly string[],
  refused: readonly Refused[],
  next: readonly string[],
  say: Say,
): void {
  const lines = [...definitions.flatMap(remarks), ...triggers, ...linesOf(refused).map((line) => `Not taken: ${line}`)];
  if (refused.length > 0)
    lines.push(`${definitions.length} of ${definitions.length + refused.length} tables were taken.`);
  const told = [...lines, ...next];
  if (told.length > 0) say(`\n${told.join('\n')}`);
}

/** What of the table is otherwise than one may expect. */
function remarks({ found: { table, hasRowSecurity, inherits }, withheld, isReadOnly, enums }: Definition): string[] {
  const stays = ({ name, why }: Definition['withheld'][number]) =>
    `${table}.${name} stays on the primary, and is not served: ${why}.${why.startsWith('its name') ? ` Send it by --send ${name}.` : ''}`;
  const mapped = enums.flatMap(({ name, labels }) =>
    labels
      .filter(([known, label]) => known !== label.toUpperCase())
      .map(([known, label]) => `${name}: the label ${label} is ${known} for clients.`),
  );
  return [
    ...withheld.map(stays),
    ...(isReadOnly ? [`${table}: rows cannot be made here, as they need what stays on the primary.`] : []),
    ...mapped,
    ...(hasRowSecurity
      ? [
          `${table} has row level security: reads go by the rights of its declaration alone, which are administrators' until they say more; writes stay under its policies.`,
        ]
      : []),
    ...(inherits ? [`${table} has tables that inherit from it, or inherits: each is served by itself.`] : []),
  ];
}

const NEXT =
  'Look at them, then run: npm run codegen && npm run check && npx readback migrate, and start the server again.';

function nextNumber(root: string): number {
  const names = ['primary', 'replica'].flatMap((side) => {
    const folder = join(root, 'sql', side);
    return existsSync(folder) ? readdirSync(folder) : [];
  });
  return 1 + Math.max(0, ...names.map((name) => parseInt(name, 10) || 0));
}

/** Takes back what `add` wrote: the declaration and its line and, where it was not applied yet, its SQL. */
export async function undoCommand(table: string, config: Config, say: Say, root = projectRoot): Promise<void> {
  const served = servedTables(root).get(table);
  if (!served)
    throw new SetupError(
      `No declaration of ${table} is in schema/tables: it has ${[...servedTables(root).keys()].join(', ') || 'none'}.`,
    );
  const { file } = served;
  const path = declarationFile(file);
  const besides = [...servedTables(root)].flatMap(([name, one]) => (one.file === file && name !== table ? [name] : []));
  if (besides.length > 0)
    throw new SetupError(
      `${path} declares ${besides.join(', ')} as well, and would go whole: take the class out by hand.`,
    );
  const others = importersOf([path], root);
  if (others.length > 0)
    throw new SetupError(
      `${others.join(', ')} in schema/tables refer to ${table}: take those back first, or their relations.`,
    );
  const own = ['primary', 'replica'].flatMap((side) =>
    readdirSync(join(root, 'sql', side))
      .filter((name) => name.endsWith(`.do.${file}.sql`))
      .map((name) => join('sql', side, name)),
  );
  const { project } = seriesIn(join(root, 'sql'), 'primary');
  const applied = await withDatabases(config, say, (databases) =>
    withServers(databases, config, 'add', ({ primary }) => appliedIn(primary.admin, project)),
  );
  const isApplied = own.some((sql) => applied.has(parseInt(sql.split('/').at(-1)!, 10)));
  write({ [PROJECT]: unregistered(served, readFileSync(join(root, PROJECT), 'utf8')) }, root);
  for (const gone of [path, ...(isApplied ? [] : own)]) {
    rmSync(join(root, gone));
    say(`removed  ${gone}`);
  }
  say(`changed  ${PROJECT}`);
  if (isApplied) writeLeaving(table, file, root, say);
  say(`\n${NEXT}`);
}

/**
 * Of a table that is sent already: it is sent no more, and then the replicas drop their copy. The replicas' part of a
 * number is applied before the primary's, which sends changes of the table until then: so theirs is the next one.
 * Where the application has dropped the table the publication has lost it with that, and there is nothing to do.
 */
function writeLeaving(table: string, name: string, root: string, say: Say): void {
  const number = nextNumber(root);
  const path = (side: string, of: number) => `sql/${side}/${String(of).padStart(4, '0')}.do.without-${name}.sql`;
  const files = {
    [path('primary', number)]: leaving(table),
    [path('replica', number + 1)]: `drop table ${table};\n`,
  };
  write(files, root);
  for (const file of Object.keys(files)) say(`wrote    ${file}`);
}

const leaving = (table: string) =>
  `${block(`
  if exists (select from pg_publication_rel r join pg_publication p on p.oid = r.prpubid
    where p.pubname = 'readback' and r.prrelid = to_regclass(${literal(table)})) then
    alter publication readback drop table ${table};
    revoke all on ${table} from readback_writer, readback_reader;
  end if;
`)};\n`;
