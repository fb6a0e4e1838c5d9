import type { Servers } from '../servers.ts';
import { checkFailover } from './checks/failover.ts';
import { checkLogins } from './checks/logins.ts';
import { checkPoolers } from './checks/poolers.ts';
import { checkPublication } from './checks/publication.ts';
import { checkReplicas } from './checks/replicas.ts';
import { checkServers } from './checks/servers.ts';
import { checkSlots } from './checks/slots.ts';
import { checkSubscriptions } from './checks/subscription.ts';
import type { Facts } from './facts.ts';
import { bySeverity, type Finding } from './finding.ts';
import { look, type LookOptions } from './look/look.ts';

export interface DoctorOptions extends LookOptions {
  /** A slot that holds more of the primary's WAL is told. */
  maxWalBytes: number;
}

/** Everything that is wrong with the servers and what is between them, the worst first. */
export async function diagnose(servers: Servers, options: DoctorOptions): Promise<Finding[]> {
  return findingsOf(await look(servers, options), options);
}

/** From cause to consequence. Pure. */
export function findingsOf(facts: Facts, { maxWalBytes }: Pick<DoctorOptions, 'maxWalBytes'>): Finding[] {
  return bySeverity([
    ...checkServers(facts),
    ...checkLogins(facts),
    ...checkPoolers(facts),
    ...checkPublication(facts),
    ...checkFailover(facts),
    ...checkSlots(facts, maxWalBytes),
    ...checkSubscriptions(facts),
    ...checkReplicas(facts),
  ]);
}
