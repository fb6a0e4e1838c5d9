import { expect, test } from 'vitest';
import { project } from '../../schema/project.ts';
import { declarationOf } from '../declare/declaration.ts';
import { startServer } from './support/server.ts';

/** Of whatever tables the project has. */
test('each table of the project is made, replicated and served', async () => {
  const server = await startServer();
  try {
    for (const type of project.tables) {
      const { many } = declarationOf(type);
      const { data, errors } = await server.query<any, object>(`{ ${many}(first: 1) { totalCount nodes { id } } }`);
      expect([many, errors, data?.[many]]).toEqual([
        many,
        [],
        { totalCount: expect.any(Number), nodes: expect.any(Array) },
      ]);
    }
  } finally {
    await server.stop();
  }
});
