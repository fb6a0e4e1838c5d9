import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { SetupError } from '../../lib/errors.ts';

export const PROJECT = 'schema/project.ts';

interface Registered {
  /** That declares it. */
  file: string;
  type: string;
}

/** The list of tables, with these added. @throws SetupError where it has no place for them. */
export function registered(tables: readonly Registered[], list: string): string {
  const place = /(?<=\btables: \[[^\]]*?)(,?\s*\])/;
  if (!place.test(list))
    throw new SetupError(
      `${PROJECT} has no list of tables: write ${tables.map(({ type }) => type).join(', ')} into it by hand.`,
    );
  const types = tables.map(({ type }) => `, ${type}`).join('');
  const imports = tables.map(({ file, type }) => `import { ${type} } from './tables/${file}.ts';\n`).join('');
  return list
    .replace(place, `${types}]`)
    .replace('tables: [, ', 'tables: [')
    .replace(/(?<=^import .*;\n)(?!import )/m, imports);
}

/** The list of tables, without this one. */
export function unregistered({ file, type }: Registered, list: string): string {
  return list
    .replace(new RegExp(`^import \\{ ${type} \\} from './tables/${file}\\.ts';\\n`, 'm'), '')
    .replace(new RegExp(`(?<=\\btables: \\[[^\\]]*?)(?:, \\b${type}\\b|\\b${type}\\b,? ?)`), '');
}

/** The list of what the project has, without what these files are imported for. */
export function withoutFiles(paths: readonly string[], list: string): string {
  const start = list.indexOf('export const project');
  let [imports, project] = [list.slice(0, start), list.slice(start)];
  for (const path of paths) {
    const line = new RegExp(`^import \\{([^}]*)\\} from '\\./${path.replace(/^schema\//, '')}';\\n`, 'm');
    const names =
      line
        .exec(imports)?.[1]
        ?.split(',')
        .map((name) => name.trim()) ?? [];
    imports = imports.replace(line, '');
    for (const name of names) if (name !== '') project = project.replace(new RegExp(`\\b${name}\\b,?\\s*`), '');
  }
  return imports + project.replace(/^\s*resolvers: \[\],?\n/m, '');
}

/** What is in schema/tables and imports one of these files of it. */
export function importersOf(files: readonly string[], root: string): string[] {
  const folder = join(root, 'schema/tables');
  const names = files.map((path) => `'./${path.split('/').at(-1)!}'`);
  return readdirSync(folder).filter((name) => {
    const text = readFileSync(join(folder, name), 'utf8');
    return names.some((one) => text.includes(one));
  });
}
