import { test as base } from 'vitest';
import { startServer, type TestServer } from './server.ts';

/** A test that asks for `server` has one of its own, over fresh databases, until it has ended. */
export const test = base.extend<{ server: TestServer }>({
  // oxlint-disable-next-line no-empty-pattern -- vitest reads the names of the fixtures off this pattern
  server: async ({}, use) => {
    const server = await startServer();
    await use(server);
    await server.stop();
  },
});
