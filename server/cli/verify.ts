import type { Config } from '../boot/config.ts';
import { withServers } from '../setup/servers.ts';
import type { Difference, TableComparison, VerifyOptions } from '../operate/verify/compare.ts';
import { verify, type ReplicaComparison, type VerifyReport } from '../operate/verify/verify.ts';
import { operatedDatabases } from './databases.ts';
import { paint, print, printJson, Progress } from './terminal.ts';

export interface VerifyFlags extends VerifyOptions {
  json: boolean;
}

/** True: no replica differs from the primary. */
export async function verifyCommand(config: Config, tables: string[], flags: VerifyFlags): Promise<boolean> {
  const progress = new Progress();
  const report = await withServers(operatedDatabases(config), config, 'verify', (servers) =>
    verify(servers, tables, flags, (replica, table, rows, estimated) =>
      progress.at(`${replica}, ${table}`, rows, estimated),
    ),
  ).finally(() => progress.end());
  if (flags.json) printJson(report);
  else print(describe(report));
  return report.isSame;
}

function describe({ isSame, seconds, replicas }: VerifyReport): string {
  const rows = replicas.flatMap(({ tables }) => tables).reduce((sum, table) => sum + table.rows, 0);
  const end = isSame ? paint('green', 'The same on both sides') : paint('red', 'Not the same');
  return [
    ...replicas.flatMap(describeReplica),
    `${end}: ${rows.toLocaleString('en')} rows compared in ${seconds.toFixed(1)} s.`,
  ].join('\n');
}

const describeReplica = ({ name, position, tables }: ReplicaComparison) => [
  `${paint('bold', name)}, as of ${position} or later`,
  ...tables.flatMap(describeTable),
];

function describeTable({ table, state, rows, differences, unsettled, isCut }: TableComparison): string[] {
  return [
    `  ${table.padEnd(22)} ${stateOf(state)}${state === 'copying' ? '' : `, ${rows.toLocaleString('en')} rows`}`,
    ...differences.map((difference) => `    ${describeDifference(difference)}`),
    ...(isCut ? ['    and maybe more: the comparison of this table ended here (--most)'] : []),
    ...(unsettled > 0 ? [`    ${unsettled} rows were written too often to be compared: run it again`] : []),
  ];
}

function stateOf(state: TableComparison['state']): string {
  switch (state) {
    case 'same':
      return paint('green', 'same');
    case 'different':
      return paint('red', 'different');
    case 'moving':
      return paint('yellow', 'not certain');
    case 'copying':
      return paint('yellow', 'not compared, as it is still being copied');
  }
}

function describeDifference({ key, kind, columns }: Difference): string {
  const named = Object.entries(key).map(([name, value]) => `${name} ${value}`);
  switch (kind) {
    case 'differs':
      return `${named.join(', ')}: differs in ${columns.join(', ')}`;
    case 'missing':
      return `${named.join(', ')}: missing on the replica`;
    case 'extra':
      return `${named.join(', ')}: on the replica alone`;
  }
}
