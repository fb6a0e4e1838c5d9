import type { Connection } from '../api/socket.ts';
import type { Replica, Replication } from './replication.ts';

/** What is well, what is late and what stands still: each has its colour, and its words. */
export type Health = 'well' | 'late' | 'stopped';

/** Later than this is worth a word, long before the server passes a replica over. */
const LATE_MS = 1000;

export function healthOf({ state, lagMs }: Pick<Replica, 'state' | 'lagMs'>): Health {
  switch (state) {
    case 'STREAMING':
      return (lagMs ?? 0) > LATE_MS ? 'late' : 'well';
    case 'LAGGING':
    case 'COPYING':
      return 'late';
    case 'DISABLED':
    case 'LOST':
    case 'REACHABLE':
    case 'DOWN':
      return 'stopped';
  }
}

export function stateWords(replica: Replica): string {
  const { state, lagMs, copyingTables } = replica;
  switch (state) {
    case 'STREAMING':
    case 'LAGGING':
      return healthOf(replica) === 'well' ? 'Up to date' : `Behind by ${duration(lagMs ?? 0)}`;
    case 'COPYING':
      return `Copying ${copyingTables} ${copyingTables === 1 ? 'table' : 'tables'}`;
    case 'DISABLED':
      return 'Stopped: disabled';
    case 'LOST':
      return 'Lost: must be copied again';
    case 'REACHABLE':
      return 'Not applying';
    case 'DOWN':
      return 'Does not answer';
  }
}

/** The whole situation in one sentence or two. */
export function summary(now: Replication | null, connection: Connection): { health: Health; text: string } {
  if (connection === 'lost') {
    return {
      health: 'stopped',
      text: 'The connection to the server is lost. Trying again; the feed goes on from where it stopped.',
    };
  }
  if (!now) return { health: 'well', text: 'Connecting to the server…' };
  if (!now.primary.reachable)
    return {
      health: 'stopped',
      text: 'The primary cannot be reached: nothing can be written. Reads go on from the replicas.',
    };
  const ill = now.replicas.filter((replica) => healthOf(replica) !== 'well');
  if (ill.length === 0)
    return { health: 'well', text: `All is well: ${every(now.replicas)} everything that was written.` };
  const states = ill.map((replica) => `${label(replica.name)} – ${lowered(stateWords(replica))}`).join('; ');
  const reads =
    ill.length < now.replicas.length
      ? 'The other replicas answer reads.'
      : 'Reads fall back to the primary where they must be new.';
  return {
    health: ill.some((replica) => healthOf(replica) === 'stopped') ? 'stopped' : 'late',
    text: `${states}. ${reads}`,
  };
}

/** replica-1 as people say it. */
export const label = (name: string) => name.replace(/^replica-/, 'Replica ');

const every = (replicas: readonly Replica[]) =>
  replicas.length === 1 ? 'the replica has' : `all ${replicas.length} replicas have`;
const lowered = (text: string) => text.charAt(0).toLowerCase() + text.slice(1);

/** As short as one reads it: 0.8 ms, 14 ms, 2.3 s, 4 min. */
export function duration(ms: number): string {
  if (ms === 0) return '0 ms';
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  return `${Math.round(ms / 60_000)} min`;
}
