import type { Config } from '../boot/config.ts';
import { withServers } from '../setup/servers.ts';
import {
  statusOf,
  type ChangeLogReport,
  type ClientReport,
  type ReplicaReport,
  type SlotReport,
  type StatusReport,
  type SubscriptionReport,
  type TableReport,
} from '../operate/status.ts';
import { operatedDatabases } from './databases.ts';
import { paint, print, printJson } from './terminal.ts';

export interface StatusFlags {
  json: boolean;
  waitMs: number;
}

/** True: all is well. */
export async function statusCommand(config: Config, { json, waitMs }: StatusFlags): Promise<boolean> {
  const report = await withServers(operatedDatabases(config), config, 'status', (servers) =>
    statusOf(servers, { ...config, waitMs }),
  );
  if (json) printJson(report);
  else print(describe(report).join('\n'));
  return report.isWell;
}

function describe({ isWell, primary, replicas }: StatusReport): string[] {
  return [
    ...headline(primary),
    ...(primary.error === null
      ? [line('position', primary.position ?? 'unknown'), ...tables(primary.tables), ...clients(primary.clients)]
      : []),
    ...spareSlots(primary.slots, replicas),
    ...replicas.flatMap((replica) => [
      '',
      ...headline(replica),
      ...(replica.error === null ? replicaLines(replica, primary) : []),
    ]),
    '',
    isWell
      ? paint('green', 'All is well.')
      : paint('red', 'Not all is well: readback doctor says what, and what repairs it.'),
  ];
}

const headline = ({ name, at, error, version }: Pick<ReplicaReport, 'name' | 'at' | 'error' | 'version'>) => [
  `${paint('bold', name)}  ${at}  ${error === null ? `PostgreSQL ${version}` : paint('red', `does not answer: ${error}`)}`,
];

const line = (title: string, text: string) => `  ${title.padEnd(13)}${text}`;

function replicaLines(replica: ReplicaReport, primary: StatusReport['primary']): string[] {
  const noSlot = primary.error === null ? paint('red', NO_SLOT) : 'unknown: the primary does not answer';
  return [
    line('position', `${replica.position ?? 'unknown'}, ${lag(replica)}`),
    line('subscription', subscription(replica.subscription)),
    line('slot', replica.slot === null ? noSlot : slot(replica.slot)),
    ...tables(replica.tables),
    line('change log', replica.changeLog === null ? paint('red', 'none') : changeLog(replica.changeLog)),
    ...clients(replica.clients),
  ];
}

const NO_SLOT = 'none: readback doctor --fix copies the replica again';

function lag({ lagBytes, lagMs }: ReplicaReport): string {
  const bytes = lagBytes === null ? 'lag unknown' : `${size(lagBytes)} behind`;
  return `${bytes}, ${lagMs === null ? paint('red', 'nothing arrives') : `a change arrives in ${lagMs} ms`}`;
}

function subscription(report: SubscriptionReport | null): string {
  if (report === null) return paint('red', 'none');
  const { isEnabled, worker, streaming, receivedAt, applyErrors, syncErrors } = report;
  const state = isEnabled ? 'enabled' : paint('red', 'disabled');
  const who = worker === null ? paint('red', 'no worker runs') : `worker ${worker}`;
  const heard = receivedAt === null ? '' : `, last heard of at ${receivedAt}`;
  return `${state}, ${who}, streaming ${streaming}, ${applyErrors + syncErrors} errors${heard}`;
}

function slot({ name, isActive, walStatus, heldBytes, safeBytes, invalidationReason }: SlotReport): string {
  if (walStatus === 'lost') {
    const why = invalidationReason === null ? '' : ` (${invalidationReason})`;
    return paint('red', `${name}, lost${why}: readback doctor --fix copies the replica again`);
  }
  const active = isActive ? 'active' : paint('red', 'not active');
  const held = heldBytes === null ? 'holds nothing' : `holds ${size(heldBytes)} of WAL`;
  const room = safeBytes === null ? '' : `, room for ${size(Math.max(0, safeBytes))} more`;
  return `${name}, ${active}, ${held}, ${walStatus ?? 'no WAL reserved'}${room}`;
}

function spareSlots(slots: SlotReport[], replicas: ReplicaReport[]): string[] {
  const used = new Set(replicas.map((replica) => replica.slot?.name));
  return slots.filter(({ name }) => !used.has(name)).map((spare) => line('other slot', slot(spare)));
}

const tables = (reports: TableReport[]) =>
  reports.map(({ table, rows, bytes, sync }, index) => {
    const state = sync === null ? '' : sync === 'ready' ? ', ready' : `, ${paint('yellow', 'copying')}`;
    return line(
      index === 0 ? 'tables' : '',
      `${table.padEnd(22)} about ${rows.toLocaleString('en')} rows, ${size(bytes)}${state}`,
    );
  });

function changeLog({ rows, bytes, oldest, newest, position, completeSince }: ChangeLogReport): string {
  const span = oldest === null || newest === null ? 'empty' : `${oldest} to ${newest}, at ${position}`;
  const from = completeSince === null ? paint('red', 'set-up has not ended') : `complete since ${completeSince}`;
  return `about ${rows.toLocaleString('en')} changes, ${size(bytes)}, ${span}, ${from}`;
}

const clients = (reports: ClientReport[]) =>
  reports.map(({ application, user, connections, busy }, index) =>
    line(index === 0 ? 'connected' : '', `${application} as ${user}: ${connections}, of them busy ${busy}`),
  );

const UNITS = ['bytes', 'kB', 'MB', 'GB', 'TB'];

function size(bytes: number): string {
  const unit = bytes < 1024 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log2(bytes) / 10));
  return unit === 0 ? `${bytes} bytes` : `${(bytes / 1024 ** unit).toFixed(1)} ${UNITS[unit]}`;
}
