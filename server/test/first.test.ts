import { expect } from 'vitest';
import { CreateUserDocument, UserDocument } from '../../schema/generated/operations.ts';
import { test } from './support/fixture.ts';

test('who reads with the bookmark of a write finds what was written', async ({ server }) => {
  const input = { username: 'ada', email: 'ada@example.com', password: 'correct horse' };
  const { user, bookmark } = (await server.query(CreateUserDocument, { input })).data.createUser;
  const { data } = await server.query(UserDocument, { id: user.id }, { 'readback-bookmark': bookmark });
  expect(data.user?.username).toBe('ada');
});
