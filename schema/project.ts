import 'reflect-metadata';
import type { Project } from '../server/graphql/schema/project.ts';
import { accounts } from './tables/accounts.ts';
import { SignInResolver } from './tables/sign-in.ts';
import { Post, PostResolver } from './tables/posts.ts';
import { User, UserResolver } from './tables/users.ts';

/** What this project serves: its tables, and what it resolves itself. */
export const project: Project = {
  tables: [User, Post],
  accounts,
  resolvers: [UserResolver, PostResolver, SignInResolver],
};
