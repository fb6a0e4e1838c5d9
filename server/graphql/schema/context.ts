import type { Access } from '../../auth/access.ts';
import type { LiveSubscriptions } from '../../auth/live.ts';
import type { Viewer } from '../../auth/viewer.ts';
import type { Feed } from '../../feed/feed.ts';
import type { Hasher } from '../../lib/password.ts';
import type { Arrivals } from '../../reads/arrivals.ts';
import type { Primary } from '../../replication/primary.ts';
import type { Loaders, Reads } from '../../reads/reads.ts';
import type { Router } from '../../reads/router.ts';
import type { ReplicationStatus } from '../../replication/status.ts';
import type { TableWatch } from '../../replication/tables.ts';
import type { Positions } from '../positions.ts';

/** What lives as long as the process. */
export interface Services {
  access: Access;
  live: LiveSubscriptions;
  primary: Primary;
  router: Router;
  arrivals: Arrivals;
  feed: Feed;
  hasher: Hasher;
  status: ReplicationStatus;
  tables: TableWatch;
}

/** What lives as long as one operation. */
export interface Context {
  requestId: string;
  /** Whom it is run for: who signs in or up under a mutation is that for the rest of it. */
  viewer: Viewer;
  /** Where it came from, as far as proxies are trusted. */
  address: string;
  /** Who spends what it costs, from its beginning to its end. */
  spender: string;
  /** Aborts when its time is over, or nobody waits for it any more. */
  signal: AbortSignal;
  /** On a websocket: the token was renewed. */
  renewed?: ((viewer: Viewer) => void) | undefined;
  reads: Reads;
  loaders: Loaders;
  services: Services;
  /** Bookmarks and cursors. */
  positions: Positions;
}
