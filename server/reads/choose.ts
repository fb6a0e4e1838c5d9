import type { Lsn } from '../lib/lsn.ts';
import type { ReplicaState } from '../replication/state.ts';

/** What choosing looks at of a replica. */
export interface Candidate {
  view: { state: ReplicaState; applied: Lsn | null };
  inFlight: number;
}

/** Well and, where a position is asked for, there: the least loaded of them. */
export function chooseNow<C extends Candidate>(replicas: readonly C[], required: Lsn | null): C | undefined {
  return leastLoaded(replicas.filter((replica) => replica.view.state === 'streaming' && satisfies(replica, required)));
}

/** For who takes any state: the well ones first, then whatever answers and has a whole copy. */
export function chooseAny<C extends Candidate>(replicas: readonly C[]): C | undefined {
  return chooseNow(replicas, null) ?? leastLoaded(replicas.filter(isWhole));
}

/** With the primary away nothing new is written: a replica that answers and is far enough will do, though it is not fed. */
export function chooseWithoutPrimary<C extends Candidate>(replicas: readonly C[], required: Lsn | null): C | undefined {
  return leastLoaded(replicas.filter((replica) => isWhole(replica) && satisfies(replica, required)));
}

/** Those worth waiting for: all others are passed over at once. */
export function worthWaitingFor<C extends Candidate>(replicas: readonly C[]): C[] {
  return replicas.filter(({ view }) => view.state === 'streaming');
}

/** One that is lost stays behind for good, and is emptied without further notice once it is copied again. */
const isWhole = ({ view }: Candidate) => view.state !== 'down' && view.state !== 'copying' && view.state !== 'lost';

const satisfies = ({ view }: Candidate, required: Lsn | null) =>
  required === null || (view.applied !== null && view.applied >= required);

function leastLoaded<C extends Candidate>(replicas: readonly C[]): C | undefined {
  return replicas.reduce<C | undefined>(
    (best, next) => (best && best.inFlight <= next.inFlight ? best : next),
    undefined,
  );
}
