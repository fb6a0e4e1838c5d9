import { Field, Float, Int, ObjectType, registerEnumType } from 'type-graphql';
import { DateTime } from '../../declare/scalars.ts';
import type { SlotCondition as Condition } from '../../replication/slots.ts';
import type { ReplicaState as State } from '../../replication/state.ts';

/** Each value with what it means. */
function enumOf<Value extends string>(name: string, meanings: Record<Value, string>): Record<Value, Value> {
  const entries = Object.entries<string>(meanings);
  const values = Object.fromEntries(entries.map(([value]) => [value, value])) as Record<Value, Value>;
  const described = entries.map(([value, description]) => [value, { description }] as const);
  const valuesConfig = Object.fromEntries(described) as Record<Value, { description: string }>;
  registerEnumType(values, { name, valuesConfig });
  return values;
}

const ReplicaState = enumOf('ReplicaState', {
  STREAMING: 'Applies what the primary writes, within the allowed lag',
  LAGGING: 'Applies, but further behind than REPLICA_MAX_LAG_MS',
  COPYING: 'A table is still in its initial copy',
  DISABLED: 'Its subscription is disabled: someone must enable it',
  LOST: 'Its slot or subscription is gone: it must be copied again (readback doctor --fix)',
  REACHABLE: 'It answers, but its apply worker does not run, or is not known yet',
  DOWN: 'It does not answer',
} satisfies Record<Uppercase<State>, string>);

@ObjectType({ description: 'The primary, as last seen' })
export class PrimaryStatus {
  @Field(() => Boolean)
  reachable!: boolean;

  @Field(() => String, { nullable: true, description: 'How far its WAL is flushed, as an LSN' })
  position!: string | null;
}

const SlotCondition = enumOf('SlotCondition', {
  WELL: 'Little WAL is kept',
  LARGE: 'More is kept than SLOT_WAL_WARN_BYTES',
  EXCESSIVE: 'More than SLOT_WAL_MAX_BYTES, or the primary is about to give it up by itself',
  LOST: 'It is gone, or was given up: the replica must be copied again',
} satisfies Record<Uppercase<Condition>, string>);

@ObjectType({ description: 'What the primary keeps of its WAL until a replica has it, as last seen' })
export class SlotStatus {
  @Field(() => SlotCondition)
  condition!: keyof typeof SlotCondition;

  @Field(() => Boolean, { description: 'The replica reads from it' })
  isActive!: boolean;

  @Field(() => Float, { nullable: true, description: 'WAL that is kept, in bytes' })
  heldBytes!: number | null;

  @Field(() => Float, { nullable: true, description: 'WAL until the primary gives it up, in bytes; null: no limit' })
  safeBytes!: number | null;

  @Field(() => String, { nullable: true, description: 'What is wrong, and what to do; null where all is well' })
  advice!: string | null;
}

@ObjectType({ description: 'A replica, as last seen' })
export class ReplicaStatus {
  @Field(() => String)
  name!: string;

  @Field(() => ReplicaState)
  state!: keyof typeof ReplicaState;

  @Field(() => String, { nullable: true, description: 'How far it has applied, as an LSN of the primary' })
  position!: string | null;

  @Field(() => Float, { nullable: true, description: 'How old its state is, in milliseconds; 0 when it has all' })
  lagMs!: number | null;

  @Field(() => Float, { nullable: true, description: "WAL between its position and the primary's, in bytes" })
  lagBytes!: number | null;

  @Field(() => Int, { description: 'Tables still in their initial copy' })
  copyingTables!: number;

  @Field(() => SlotStatus, { nullable: true, description: 'Null before it was seen' })
  slot!: SlotStatus | null;
}

const FeedPhase = enumOf('FeedPhase', {
  STARTING: 'No change log was read yet',
  CATCHING_UP: 'It reads what happened while it was away',
  LIVE: 'Changes are sent as they arrive',
  DEGRADED: 'No change log can be read, or trusted: subscribers are kept, and caught up later',
  STOPPED: 'The server is stopping',
});

@ObjectType({ description: "This server's change feed" })
export class FeedStatus {
  @Field(() => FeedPhase)
  phase!: keyof typeof FeedPhase;

  @Field(() => String, { nullable: true, description: 'The replica whose change log it reads' })
  source!: string | null;
}

@ObjectType({ description: 'State, positions and lag of all servers' })
export class Replication {
  @Field(() => DateTime)
  at!: string;

  @Field(() => PrimaryStatus)
  primary!: PrimaryStatus;

  @Field(() => [ReplicaStatus])
  replicas!: ReplicaStatus[];

  @Field(() => FeedStatus)
  feed!: FeedStatus;
}

@ObjectType({ description: 'A replica has applied a write: what is read there sees it' })
export class Arrival {
  @Field(() => String)
  replica!: string;

  @Field(() => DateTime, { description: 'When the server found it there, by its own clock' })
  at!: string;

  @Field(() => Float, { description: 'Since it was asked, in milliseconds; 0 where the write was there already' })
  waitedMs!: number;
}
