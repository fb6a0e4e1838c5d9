import { signal } from '@preact/signals';
import {
  ReplicationChangedDocument,
  type ReplicationChangedSubscription,
} from '../../../schema/generated/operations.ts';
import { follow, type Iterates } from '../api/follow.ts';
import { noteRefusal } from '../sign-in.tsx';

export type Replication = ReplicationChangedSubscription['replication'];
export type Replica = Replication['replicas'][number];

/** As last told; null before that. */
export const replication = signal<Replication | null>(null);

export function followReplication(client: Iterates): void {
  follow(client, {
    document: ReplicationChangedDocument,
    variables: () => ({}),
    next: (data) => (replication.value = data.replication),
    failed: noteRefusal,
  });
}
