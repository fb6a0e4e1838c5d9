import type { ClassType } from 'type-graphql';
import type { Accounts } from '../../database/sql/accounts.ts';

/** What a project serves. */
export interface Project {
  /** Classes with @Table. */
  tables: ClassType<{ id: string }>[];
  /** Those who can sign in; left out: nobody does, and who asks is anonymous. */
  accounts?: Accounts;
  /** What it resolves itself. */
  resolvers?: ClassType[];
}
