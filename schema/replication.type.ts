import { Field, Float, Int, ObjectType, registerEnumType } from 'type-graphql';
import { DateTime } from './scalars.ts';

export enum ReplicaState {
  STREAMING = 'STREAMING',
  LAGGING = 'LAGGING',
  COPYING = 'COPYING',
  DISABLED = 'DISABLED',
  REACHABLE = 'REACHABLE',
  DOWN = 'DOWN',
}
registerEnumType(ReplicaState, {
  name: 'ReplicaState',
  valuesConfig: {
    STREAMING: { description: 'Applies what the primary writes, within the allowed lag' },
    LAGGING: { description: 'Applies, but further behind than REPLICA_MAX_LAG_MS' },
    COPYING: { description: 'A table is still in its initial copy' },
    DISABLED: { description: 'Its subscription is disabled or missing: someone must enable it' },
    REACHABLE: { description: 'It answers, but its apply worker does not run, or is not known yet' },
    DOWN: { description: 'It does not answer' },
  },
});

@ObjectType({ description: 'The primary, as last seen' })
export class PrimaryStatus {
  @Field(() => Boolean)
  reachable!: boolean;

  @Field(() => String, { nullable: true, description: 'How far its WAL is flushed, as an LSN' })
  position!: string | null;
}

@ObjectType({ description: 'A replica, as last seen' })
export class ReplicaStatus {
  @Field(() => String)
  name!: string;

  @Field(() => ReplicaState)
  state!: ReplicaState;

  @Field(() => String, { nullable: true, description: 'How far it has applied, as an LSN of the primary' })
  position!: string | null;

  @Field(() => Float, { nullable: true, description: 'How old its state is, in milliseconds; 0 when it has all' })
  lagMs!: number | null;

  @Field(() => Float, { nullable: true, description: "WAL between its position and the primary's, in bytes" })
  lagBytes!: number | null;

  @Field(() => Int, { description: 'Tables still in their initial copy' })
  copyingTables!: number;
}

export enum FeedPhase {
  STARTING = 'STARTING',
  CATCHING_UP = 'CATCHING_UP',
  LIVE = 'LIVE',
  DEGRADED = 'DEGRADED',
  STOPPED = 'STOPPED',
}
registerEnumType(FeedPhase, {
  name: 'FeedPhase',
  valuesConfig: {
    STARTING: { description: 'No change log was read yet' },
    CATCHING_UP: { description: 'It reads what happened while it was away' },
    LIVE: { description: 'Changes are sent as they arrive' },
    DEGRADED: { description: 'No change log can be read, or trusted: subscribers are kept, and caught up later' },
    STOPPED: { description: 'The server is stopping' },
  },
});

@ObjectType({ description: "This server's change feed" })
export class FeedStatus {
  @Field(() => FeedPhase)
  phase!: FeedPhase;

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
