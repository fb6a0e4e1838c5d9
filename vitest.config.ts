import { configDefaults, defineConfig } from 'vitest/config';

/** What needs Docker, or earlier versions of PostgreSQL, has commands of its own. */
export const APART = ['infra/test/containers.test.ts', 'infra/test/versions.test.ts'];

export default defineConfig({
  // Some packages load graphql as CommonJS, some as a module: one copy for all, or its types are "from another realm".
  resolve: { alias: [{ find: /^graphql$/, replacement: 'graphql/index.js' }] },
  test: {
    include: ['server/**/*.test.ts', 'infra/**/*.test.ts'],
    exclude: [...configDefaults.exclude, ...APART],
    globalSetup: ['server/test/cluster.ts'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    expect: { poll: { timeout: 10_000 } },
    server: { deps: { inline: [/type-graphql/, /@as-integrations/, /graphql-jit/] } },
  },
});
