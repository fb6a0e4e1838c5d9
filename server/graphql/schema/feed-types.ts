import { createUnionType, Field, type ClassType } from 'type-graphql';
import { CaughtUp, SnapshotRow } from '../types/feed.type.ts';
import { allTables } from '../../declare/declaration.ts';
import { typesOf } from './types.ts';

let made: object | undefined;

/** What the feed tells: the changes of all tables that are declared, their rows in a snapshot, and marks. */
export function feedEvent(): object {
  made ??= makeFeedEvent();
  return made;
}

function makeFeedEvent(): object {
  const tables = allTables();
  for (const { one, type } of tables) Field(() => type, { nullable: true })(SnapshotRow.prototype, one);
  const types: ClassType[] = [...tables.map((table) => typesOf(table).change), SnapshotRow, CaughtUp];
  return createUnionType({ name: 'FeedEvent', types: () => types });
}
