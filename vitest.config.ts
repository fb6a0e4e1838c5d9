import { defineConfig } from 'vitest/config';
import { isExampleAlone } from './infra/example.ts';
import { LeftOut, programTags } from './infra/test/support/left-out.ts';
import { LongestFirst } from './infra/test/support/longest-first.ts';

/** Most tests are of Readback itself, and go by the example's tables alone: a project of one's own has its own tests. */
export const isReadbackItself = isExampleAlone(import.meta.dirname);

/** Tests beside the code that they test, and these, need no server. */
export const UNIT = [
  'server/!(test)/**/*.test.ts',
  'infra/test/bench-options.test.ts',
  ...(isReadbackItself ? ['server/test/docs.test.ts'] : []),
];
/** What needs Docker, or earlier versions of PostgreSQL, or measures them, has commands of its own. */
export const APART = ['containers', 'model-speed', 'upgrade', 'versions'].map((name) => `infra/test/${name}.test.ts`);

export default defineConfig({
  // Some packages load graphql as CommonJS, some as a module: one copy for all, or its types are "from another realm".
  resolve: { alias: [{ find: /^graphql$/, replacement: 'graphql/index.js' }] },
  test: {
    tags: programTags,
    reporters: ['default', new LeftOut(isReadbackItself)],
    sequence: { sequencer: LongestFirst },
    pool: 'forks',
    // On two processors: tests wait most of their time.
    maxWorkers: 3,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    expect: { poll: { timeout: 10_000 } },
    server: { deps: { inline: [/type-graphql/, /@as-integrations/, /graphql-jit/] } },
    projects: [
      // They change nothing that is global, so that one process runs many of them.
      { extends: true, test: { name: 'unit', include: UNIT, isolate: false } },
      'vitest.postgres.config.ts',
      { extends: true, test: { name: 'apart', include: APART } },
    ],
  },
});
