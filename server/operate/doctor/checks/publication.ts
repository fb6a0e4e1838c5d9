import type { Facts, PrimaryDetails, ReplicaDetails } from '../facts.ts';
import type { Check, Finding } from '../finding.ts';
import { toShow, whatIsHidden, type Hidden } from '../../../setup/row-security.ts';
import type { TableShape } from '../../../setup/shapes.ts';

/** What the primary sends. */
export function checkPublication({ primary, replicas }: Facts): Finding[] {
  const { details, basics, name } = primary;
  if (!details) return [];
  if (!basics!.isSetUp) return [notSetUp(name)];
  if (!details.publication) return [missing(name, replicas.flatMap(watchedOn))];
  return [
    ...checkOperations(name, details.publication),
    ...hiddenRows(name, details.hidden),
    ...details.withoutIdentity.map((table) => withoutIdentity(name, table)),
    ...unpublished(name, details, replicas.flatMap(watchedOn)),
    ...replicas.flatMap((replica) => (replica.details ? unsentColumns(name, details, replica.details) : [])),
  ].filter(isFirst);
}

const watchedOn = ({ details }: { details?: ReplicaDetails }) => details?.watched ?? [];

/** Two replicas may show the same fault of the primary. */
const isFirst = (finding: Finding, index: number, all: Finding[]) =>
  all.findIndex(({ check, found }) => check === finding.check && found === finding.found) === index;

const notSetUp = (server: string): Finding => ({
  check: 'not-set-up',
  severity: 'error',
  server,
  found: 'nothing of Readback is in this database',
  expected: 'the schema readback and what set-up makes there',
  remedy: 'Run: readback migrate',
});

const missing = (server: string, watched: string[]): Finding => ({
  check: 'publication-missing',
  severity: 'error',
  server,
  found: 'there is no publication readback',
  expected: 'one of the tables that the replicas hold',
  remedy:
    `Run there: create publication readback for table ${['readback.heartbeat', ...new Set(watched)].join(', ')}; with the column lists of sql/primary. ` +
    'What was written while it was away is lost to the replicas: drop and add each again (readback replica drop, readback migrate).',
});

function checkOperations(server: string, publication: NonNullable<PrimaryDetails['publication']>): Finding[] {
  const unsent = Object.entries(publication).flatMap(([operation, isSent]) => (isSent ? [] : [operation]));
  if (unsent.length === 0) return [];
  return [
    {
      check: 'publication-operations',
      severity: 'error',
      server,
      found: `the publication does not send ${unsent.join(', ')}`,
      expected: 'all operations: else the replicas keep what the primary has changed',
      remedy: `Run there: alter publication readback set (publish = 'insert, update, delete, truncate'); then readback verify, for what was not sent.`,
    },
  ];
}

/** Of either side. */
export const hiddenRows = (server: string, hidden: Hidden[]): Finding[] =>
  hidden.map((one) => ({
    check: 'row-security',
    severity: 'error',
    server,
    found: whatIsHidden(one),
    expected: 'all rows: a read or a copy that would leave some out fails instead',
    remedy: `${toShow(one)} Then readback verify, for what was left out before.`,
  }));

const withoutIdentity = (server: string, table: string): Finding => ({
  check: 'replica-identity',
  severity: 'error',
  server,
  found: `${table} has no replica identity, so every update and delete of it fails`,
  expected: 'a primary key, by which the replica finds the row',
  remedy: `Give it a primary key, and run there: alter table ${table} replica identity default;`,
});

function unpublished(server: string, { published }: PrimaryDetails, watched: string[]): Finding[] {
  const sent = new Set(published.map(({ table }) => table));
  const wanted = new Set(['readback.heartbeat', ...watched]);
  return [...wanted]
    .filter((table) => !sent.has(table))
    .map((table) => ({
      check: 'table-not-published' as Check,
      severity: 'error' as const,
      server,
      found: `${table} is not in the publication, and replicas hold it`,
      expected: 'every table that replicas hold is sent',
      remedy: `Run there: alter publication readback add table ${table}; with its column list of sql/primary. Then readback migrate copies it again.`,
    }));
}

/** Columns that both sides have, and that are not sent: on the replica they stay as they are, but for generated ones. */
function unsentColumns(server: string, { published, whole }: PrimaryDetails, { shapes }: ReplicaDetails): Finding[] {
  return published.flatMap(({ table, columns }) => {
    const had = new Set(columnsOf(whole, table).map(({ name }) => name));
    const sent = new Set(columns.map(({ name }) => name));
    return columnsOf(shapes, table)
      .filter(({ name, isGenerated }) => had.has(name) && !sent.has(name) && !isGenerated)
      .map(({ name }) => unsentColumn(server, table, name));
  });
}

const columnsOf = (shapes: TableShape[], table: string) => shapes.find((shape) => shape.table === table)?.columns ?? [];

const unsentColumn = (server: string, table: string, name: string): Finding => ({
  check: 'column-not-published',
  severity: 'error',
  server,
  found: `${table}.${name} is on both sides, and the publication's column list leaves it out`,
  expected: 'every column of the replica that the primary has is sent',
  remedy: `Publish the table with it (drop it from the publication and add it with all columns, in one transaction), or drop the column on the replica. Rows written before are then to be copied again.`,
});
