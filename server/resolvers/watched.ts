import type { WatchedTable } from './changes.ts';
import { postChanges } from './post.resolver.ts';
import { userChanges } from './user.resolver.ts';

/** The tables that `changes` tells of. */
export const WATCHED: readonly WatchedTable[] = [userChanges, postChanges];
