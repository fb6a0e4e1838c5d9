import type { Config, DatabaseConfig } from '../boot/config.ts';
import { project } from '../../schema/project.ts';
import { declarationOf } from '../declare/declaration.ts';
import { lockSetup } from '../operate/attach.ts';
import { applyFix, describeFix, diagnose, planFixes, type DoctorOptions } from '../operate/doctor/doctor.ts';
import { isFault, type Finding, type Fix, type Severity } from '../operate/doctor/finding.ts';
import { withServers, type Servers } from '../setup/servers.ts';
import { operatedDatabases } from './databases.ts';
import { confirmed, paint, print, printJson, tell } from './terminal.ts';

export interface DoctorFlags {
  json: boolean;
  fix: boolean;
  yes: boolean;
  waitMs: number;
  longTransactionMs: number;
  maxWalBytes?: number;
}

/** True: there are no faults, or none any more. */
export async function doctorCommand(config: Config, flags: DoctorFlags): Promise<boolean> {
  const databases = operatedDatabases(config);
  const declared = project.tables.map(declarationOf);
  const options = { ...config, ...flags, declared, maxWalBytes: flags.maxWalBytes ?? config.SLOT_WAL_WARN_BYTES };
  return withServers(databases, config, 'doctor', async (servers) => {
    const findings = await diagnose(servers, options);
    const fixes = flags.fix ? planFixes(findings.flatMap(({ fix }) => fix ?? [])) : [];
    if (fixes.length === 0) return report(findings, [], flags);
    if (!flags.json) print(describe(findings));
    const done = await repair(fixes, servers, databases, options);
    return report(await diagnose(servers, options), done, flags);
  });
}

async function repair(
  fixes: Fix[],
  servers: Servers,
  databases: DatabaseConfig,
  options: DoctorOptions & Pick<DoctorFlags, 'yes'>,
) {
  await lockSetup(servers.primary);
  const done: Fix[] = [];
  for (const fix of fixes) {
    if (!(await confirmed(`${describeFix(fix)}?`, options.yes))) continue;
    tell(`${describeFix(fix)}…`);
    const failure = await failureOf(applyFix(fix, { servers, databases, config: options, say: tell }));
    if (failure === undefined) done.push(fix);
    else tell(`It failed: ${failure}`);
  }
  return done;
}

/** One that fails leaves the others to be done: what is still wrong is told at the end. */
const failureOf = (work: Promise<void>): Promise<string | undefined> =>
  work.then(
    () => undefined,
    (error: Error) => error.message,
  );

function report(findings: Finding[], fixed: Fix[], { json }: DoctorFlags): boolean {
  const isWell = !findings.some(isFault);
  if (json) printJson({ at: new Date().toISOString(), isWell, findings: findings.map(asJson), fixed });
  else print(describe(findings));
  return isWell;
}

/** With what --fix can do, instead of how; of the values, what is made of them. */
const asJson = (finding: Finding) => ({ ...finding, values: undefined, fix: finding.fix?.name ?? null });

const COLOURS = { error: 'red', warning: 'yellow', advice: 'cyan' } as const satisfies Record<Severity, string>;

function describe(findings: Finding[]): string {
  const count = findings.filter(isFault).length;
  const fixable = findings.filter(({ fix }) => fix).length;
  const end =
    count === 0
      ? paint('green', 'No faults found.')
      : `${count} ${count === 1 ? 'fault' : 'faults'}${fixable > 0 ? `, ${fixable} of which readback doctor --fix repairs` : ''}.`;
  return [...findings.flatMap(describeOne), end].join('\n');
}

const describeOne = ({ severity, server, check, found, expected, remedy }: Finding) => [
  `${paint(COLOURS[severity], severity)}  ${paint('bold', server)}  ${check}`,
  `  found     ${found}`,
  `  expected  ${expected}`,
  `  remedy    ${remedy}`,
  '',
];
