import type { GraphQLObjectType, GraphQLSchema } from 'graphql';
import { allowedIn, type Who } from '../auth/rights.ts';
import type { Declaration } from '../declare/declaration.ts';
import { isAlways, isClaim, type Clause } from '../declare/rule.ts';

const INTRODUCTION = `# Who may do what

Made by \`npm run codegen\` of what the tables and resolvers declare. With \`ACCESS=protected\`: in open mode everybody may
do everything, and administrators always may. Where the project has no accounts, everybody counts as signed in, and is no
row's viewer.
`;

/** The rights of a project, for people, as they are declared. */
export const rightsPage = (schema: GraphQLSchema, tables: readonly Declaration[]): string =>
  [INTRODUCTION, ...tables.map(tableSection), operationsSection(schema)].join('\n');

function tableSection({ name, read, write, columns }: Declaration): string {
  const hidden = columns.flatMap(({ field, sees }): Row[] =>
    sees ? [[`\`${field}\` of a row that is read; null otherwise`, conditionOf(sees)]] : [],
  );
  return section(
    `\`${name}\``,
    ['what', 'where'],
    [
      ['reads a row, in whatever way', conditionOf(read)],
      ...hidden,
      ['creates, changes or deletes a row, as it was and as it becomes', conditionOf(write)],
    ],
  );
}

const WORDS: Record<Who, string> = {
  anyone: 'anybody',
  signedIn: 'who is signed in',
  owner: 'who is signed in, and may write the row',
  administrators: 'administrators',
};

function operationsSection(schema: GraphQLSchema): string {
  const roots = [schema.getQueryType(), schema.getMutationType(), schema.getSubscriptionType()];
  const present = roots.filter((root): root is GraphQLObjectType => root != null);
  const rows = present.flatMap((root) =>
    Object.values(root.getFields()).map(({ name, extensions }): Row => [
      `${root.name.toLowerCase()} \`${name}\``,
      WORDS[allowedIn(extensions)],
    ]),
  );
  return section('Operations', ['operation', 'for'], rows);
}

type Row = readonly [string, string];

const section = (title: string, head: Row, rows: readonly Row[]): string =>
  `## ${title}\n\n${[head, ['---', '---'] as const, ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n')}\n`;

/** A rule, in words; undefined: nobody but administrators. */
function conditionOf(clause: Clause | undefined): string {
  if (clause === undefined) return 'for administrators alone';
  return isAlways(clause) ? 'always' : wordsOf(clause);
}

function wordsOf(clause: Clause): string {
  switch (clause.kind) {
    case 'and':
      return clause.of.map(inBrackets).join(' and ') || 'always';
    case 'or':
      return clause.of.map(inBrackets).join(' or ') || 'never';
    case 'not':
      return `not (${wordsOf(clause.of)})`;
    case 'isNull':
      return `\`${clause.field}\` is ${clause.value ? '' : 'not '}null`;
    case 'eq':
      return `\`${clause.field}\` is ${valueOf(clause.value)}`;
    case 'in':
      return `\`${clause.field}\` is among ${valueOf(clause.value)}`;
  }
}

const inBrackets = (clause: Clause): string =>
  (clause.kind === 'and' || clause.kind === 'or') && clause.of.length > 1 ? `(${wordsOf(clause)})` : wordsOf(clause);

function valueOf(value: Extract<Clause, { kind: 'eq' | 'in' }>['value']): string {
  if (!isClaim(value)) return JSON.stringify(value);
  return value.claim === 'sub' ? 'the viewer' : `the viewer's ${value.claim}`;
}
