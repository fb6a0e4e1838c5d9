import { configDefaults, defineConfig } from 'vitest/config';
import { LeftOut, programTags } from './infra/test/left-out.ts';

/** Tests beside the code that they test, and these two, need no server. */
const UNIT = ['server/!(test)/**/*.test.ts', 'server/test/docs.test.ts', 'infra/test/bench-options.test.ts'];
/** What needs Docker, or earlier versions of PostgreSQL, has commands of its own. */
const APART = ['infra/test/containers.test.ts', 'infra/test/versions.test.ts'];

export default defineConfig({
  // Some packages load graphql as CommonJS, some as a module: one copy for all, or its types are "from another realm".
  resolve: { alias: [{ find: /^graphql$/, replacement: 'graphql/index.js' }] },
  test: {
    tags: programTags,
    reporters: ['default', new LeftOut()],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    expect: { poll: { timeout: 10_000 } },
    server: { deps: { inline: [/type-graphql/, /@as-integrations/, /graphql-jit/] } },
    projects: [
      // They change nothing that is global, so that one process runs many of them.
      { extends: true, test: { name: 'unit', include: UNIT, isolate: false } },
      {
        extends: true,
        test: {
          name: 'postgres',
          include: ['{server,infra}/**/*.test.ts'],
          exclude: [...configDefaults.exclude, ...UNIT, ...APART],
          globalSetup: ['server/test/cluster.ts'],
        },
      },
      { extends: true, test: { name: 'apart', include: APART } },
    ],
  },
});
