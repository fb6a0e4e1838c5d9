import { readFileSync } from 'node:fs';
import { SetupError } from './errors.ts';

type Environment = Record<string, string | undefined>;

/**
 * The environment with the contents of the file that `NAME_FILE` names as `NAME`, for each of `names`: what is in the
 * environment itself can be seen by whoever inspects the container.
 */
export function withSecretFiles(environment: Environment, names: readonly string[]): Environment {
  const faults: string[] = [];
  const read = names.flatMap((name) => {
    const file = environment[`${name}_FILE`];
    if (!file) return [];
    if (environment[name]) faults.push(`${name} and ${name}_FILE are both set: leave one of them out.`);
    return [[name, contentOf(name, file, faults)] as const];
  });
  if (faults.length > 0) throw new SetupError(faults.join('\n'));
  return { ...environment, ...Object.fromEntries(read) };
}

/** Editors end a file with a line break, which is no part of a secret. */
function contentOf(name: string, file: string, faults: string[]): string {
  try {
    const content = readFileSync(file, 'utf8').replace(/\r?\n$/, '');
    if (content === '') faults.push(`${name}_FILE must name a file with ${name} in it, got an empty one: ${file}`);
    return content;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    faults.push(`${name}_FILE must name a file that can be read, got: ${file} (${code})`);
    return '';
  }
}
