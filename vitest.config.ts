import { defineConfig } from 'vitest/config';

export default defineConfig({
  // Some packages load graphql as CommonJS, some as a module: one copy for all, or its types are "from another realm".
  resolve: { alias: [{ find: /^graphql$/, replacement: 'graphql/index.js' }] },
  test: {
    include: ['server/**/*.test.ts', 'infra/**/*.test.ts'],
    globalSetup: ['server/test/cluster.ts'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    expect: { poll: { timeout: 10_000 } },
    server: { deps: { inline: [/type-graphql/, /@as-integrations/, /graphql-jit/] } },
  },
});
