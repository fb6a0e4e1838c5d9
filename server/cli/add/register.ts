import { SetupError } from '../../lib/errors.ts';
import { kebab, type Definition } from './definition.ts';

export const PROJECT = 'schema/project.ts';

/** The list of tables, with this one added. @throws SetupError where it has no place for it. */
export function registered({ table, type }: Pick<Definition, 'table' | 'type'>, list: string): string {
  const place = /(?<=\btables: \[[^\]]*?)(,?\s*\])/;
  if (!place.test(list)) throw new SetupError(`${PROJECT} has no list of tables: write ${type} into it by hand.`);
  const added = list.replace(place, `, ${type}]`).replace('tables: [, ', 'tables: [');
  return added.replace(/(?<=^import .*;\n)(?!import )/m, `import { ${type} } from './tables/${kebab(table)}.ts';\n`);
}
