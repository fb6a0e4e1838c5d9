import { aliased } from './aliased.mjs';
import { bigTransaction } from './big-transaction.mjs';
import { bookmarks } from './bookmarks.mjs';
import { create } from './create.mjs';
import { events } from './events.mjs';
import { fanOut } from './fan-out.mjs';
import { growthConnections, growthRows } from './growth.mjs';
import { halfPeak } from './half-peak.mjs';
import { keys } from './keys.mjs';
import { logCost } from './log-cost.mjs';
import { memory } from './memory.mjs';
import { mixed } from './mixed.mjs';
import { nested } from './nested.mjs';
import { page } from './page.mjs';
import { point } from './point.mjs';
import { replicaCommit } from './replica-commit.mjs';
import { scaling } from './scaling.mjs';
import { start } from './start.mjs';
import { update } from './update.mjs';

/** In the order in which they are asked. */
export const questions = [
  point,
  aliased,
  page,
  nested,
  update,
  halfPeak,
  create,
  mixed,
  bookmarks,
  events,
  fanOut,
  memory,
  start,
  growthConnections,
  growthRows,
  keys,
  scaling,
  bigTransaction,
  logCost,
  replicaCommit,
];
