import { SetupError } from '../../lib/errors.ts';
import { kebab, pascal, type Definition, type Parent } from './definition.ts';

type Names = Pick<Definition, 'table' | 'one' | 'many' | 'type'>;

/** The files that name every table, each with this one added, by their paths. */
export function registered(
  { table, one, many, type }: Names,
  parents: Parent[],
  read: (path: string) => string,
): Record<string, string> {
  const from = `./${kebab(one)}.resolver.ts`;
  const resolvers = [`${type}Resolver`, ...parents.map((parent) => `${pascal(many)}Of${parent.type}Resolver`)];
  const names = resolvers.join(', ');
  const types = `./${kebab(table)}/${kebab(one)}.type.ts`;
  const schema = added(
    read,
    'server/resolvers/schema.ts',
    [names, from],
    [[/(?=ChangeResolver,\s+ReplicationResolver)/, `${names}, `]],
  );
  const watched = added(
    read,
    'server/resolvers/watched.ts',
    [`${one}Changes`, from],
    [[/(?<= = \[)/, `${one}Changes, `]],
  );
  const feed = added(
    read,
    'schema/feed.type.ts',
    [`${type}, ${type}Change`, types],
    [
      [/(?=SnapshotRow,\s+CaughtUp)/, `${type}Change, `],
      [
        /(?=\n\}\n\n@ObjectType\(\{ description: 'Nothing)/,
        `\n\n  @Field(() => ${type}, { nullable: true })\n  ${one}?: ${type};`,
      ],
    ],
  );
  return Object.fromEntries([schema, watched, feed]);
}

/** The file with an import more, and each insertion in its place. */
function added(
  read: (path: string) => string,
  path: string,
  [names, from]: [string, string],
  insertions: [RegExp, string][],
): [string, string] {
  let text = read(path);
  for (const [place, insertion] of insertions) {
    if (!place.test(text))
      throw new SetupError(`${path} has no place for this: ${insertion.trim()}. Write it there by hand.`);
    text = text.replace(place, insertion);
  }
  return [path, text.replace(/\n(?!import )/, `\nimport { ${names} } from '${from}';\n`)];
}
