import type { Attaching } from '../attach.ts';
import { renewLogin } from './arrival.ts';
import { keepOnStandbys } from './failover.ts';
import type { Fix, Repair } from './finding.ts';
import { knowByKey } from './identity.ts';
import { grantRoles } from './logins.ts';
import { dropOrphan } from './slots.ts';
import { commitLocally, copyAgain, inOnePhase, letWrite, SETTINGS, takePublished } from './subscription.ts';
import { completeLog, ringAgain, watchAgain } from './tables.ts';

/** In the order in which they are done: what stands in the way of others first. */
const REPAIRS: Repair[] = [
  grantRoles,
  dropOrphan,
  letWrite,
  renewLogin,
  copyAgain,
  inOnePhase,
  keepOnStandbys,
  ...SETTINGS,
  knowByKey,
  commitLocally,
  ringAgain,
  takePublished,
  watchAgain,
  completeLog,
];

const repairOf = ({ name }: Fix): Repair => REPAIRS.find((repair) => repair.name === name)!;

/** What a fix will do, for the question before it. */
export const describeFix = (fix: Fix): string => `${fix.server}: ${repairOf(fix).does(fix.subject ?? '')}`;

export async function applyFix(fix: Fix, context: Attaching): Promise<void> {
  const { primary, replicas } = context.servers;
  const server = [primary, ...replicas].find(({ name }) => name === fix.server)!;
  await repairOf(fix).run(server, context, fix.subject ?? '');
}

/** Several findings may ask for the same. Where a replica is copied again, its subscription is made again. */
export function planFixes(fixes: Fix[]): Fix[] {
  const distinct = [...new Map(fixes.map((fix) => [`${fix.name} ${fix.server} ${fix.subject}`, fix])).values()];
  const again = new Set(distinct.filter(({ name }) => name === copyAgain.name).map(({ server }) => server));
  return distinct
    .filter((fix) => !(again.has(fix.server) && repairOf(fix).isOfSubscription))
    .toSorted((a, b) => REPAIRS.indexOf(repairOf(a)) - REPAIRS.indexOf(repairOf(b)));
}
