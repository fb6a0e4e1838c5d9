import type { Sql } from '../../database/connect.ts';
import { SetupError } from '../../lib/errors.ts';
import type { Lsn } from '../../lib/lsn.ts';
import { arrival, beat } from '../../setup/beat.ts';
import type { Server } from '../../setup/requirements.ts';

/** The primary and one replica that is compared with it. */
export interface Pair {
  primary: Sql;
  replica: Sql;
  /** Returns when the replica has applied everything that was committed before the call; says up to where. */
  caughtUp: () => Promise<Lsn>;
}

export function pairOf(primary: Server, replica: Server, timeoutMs: number): Pair {
  return {
    primary: primary.admin,
    replica: replica.admin,
    caughtUp: async () => {
      const target = await beat(primary);
      const outcome = await arrival(replica, target, timeoutMs);
      if (outcome === 'arrived') return target;
      const reason = outcome === 'late' ? `did not catch up within ${timeoutMs} ms` : 'has its subscription disabled';
      throw new SetupError(`${replica.name} (${replica.at}) ${reason}, so it cannot be compared: run readback doctor.`);
    },
  };
}
