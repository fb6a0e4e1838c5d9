import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { printSchema } from 'graphql';
import type { ZodType } from 'zod';
import { readConfig } from '../boot/config.ts';
import { SECTIONS } from '../boot/settings.ts';
import { allTables } from '../declare/declaration.ts';
import { projectRoot } from '../lib/root.ts';
import { tellFailure } from './failure.ts';
import { rightsPage } from './rights-page.ts';

const EXAMPLE = `# Every setting of Readback. Copy this file to .env and uncomment what you want to change: as it stands it changes
# nothing, because each line below shows the default. A variable of the environment wins over the same one in .env,
# and an empty value counts as left out. A bad value stops the start, with one line that says what was expected.
`;

/**
 * Writes what the declarations and the settings come to, for clients and for people; with --check it compares, and writes
 * nothing.
 */
try {
  const { buildGraphQLSchema } = await import('../graphql/schema/schema.ts');
  const schema = buildGraphQLSchema();
  const made = {
    'schema/schema.graphql': `${printSchema(schema)}\n`,
    'schema/generated/rights.md': rightsPage(schema, allTables()),
    '.env.example': [EXAMPLE, ...SECTIONS.map(exampleSection)].join('\n\n'),
  };
  for (const [path, text] of Object.entries(made)) writeOrCompare(path, text);
} catch (error) {
  process.exitCode = tellFailure(error);
}

function writeOrCompare(path: string, text: string): void {
  const file = join(projectRoot, path);
  if (!process.argv.includes('--check')) {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
  } else if (!existsSync(file) || readFileSync(file, 'utf8') !== text) {
    console.error(`${path} differs from what the code makes.`);
    process.exitCode = 1;
  }
}

/** A part of .env.example: each variable under its description, with the default that it has where nothing is set. */
function exampleSection(section: (typeof SECTIONS)[number]): string {
  const { title, description } = section.meta()!;
  // A variable has a text or a number by default, or none.
  const defaults = readConfig({}) as object as Record<string, string | number | undefined>;
  const head = `# --- ${title} `.padEnd(114, '-') + (description === undefined ? '' : `\n${comment(description)}`);
  const settings = Object.entries<ZodType>(section.shape).map(
    ([name, setting]) => `${comment(setting.description!)}\n#${name}=${defaults[name] ?? ''}`,
  );
  return `${[head, ...settings].join('\n\n')}\n`;
}

/** The text's own lines, without the indentation that they have in the code. */
function comment(text: string): string {
  return text.trim().replace(/^ *(?=\S)/gm, '# ');
}
