/**
 * Makes schema/generated of the documents in schema/operations, which the console and the tests of the example send; with
 * --check it compares. Where the example's tables are not served, both stay as they are.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './launch/child.mjs';

const schema = readFileSync(join(root, 'schema/schema.graphql'), 'utf8');
const isExample = ['User', 'Post'].every((type) => new RegExp(`^type ${type} `, 'm').test(schema));
if (isExample) {
  const flags = ['--config', 'codegen.yml', ...process.argv.slice(2)];
  process.exitCode = spawnSync('graphql-codegen', flags, { cwd: root, stdio: 'inherit' }).status ?? 1;
}
