import { project } from '../../../schema/project.ts';
import type { Config } from '../../boot/config.ts';
import { declarationOf } from '../../declare/declaration.ts';
import { applyFix, diagnose, planFixes } from '../../operate/doctor/doctor.ts';
import { isFault, type Finding } from '../../operate/doctor/finding.ts';
import { lockSetup } from '../../operate/attach.ts';
import { withServers } from '../../setup/servers.ts';
import { testConfig, type TestDatabases } from './databases.ts';

type Given = TestDatabases['config'];

const OPTIONS = {
  waitMs: 1500,
  longTransactionMs: 60_000,
  maxWalBytes: 1_073_741_824,
  declared: project.tables.map(declarationOf),
};

/** What `readback doctor` finds. */
export function examine(databases: Given, options: Partial<typeof OPTIONS & Config> = {}): Promise<Finding[]> {
  const config = testConfig({ DB_CONNECT_TIMEOUT_MS: 2000, ...options });
  return withServers(databases, config, 'test', (servers) => diagnose(servers, { ...config, ...OPTIONS, ...options }));
}

/** Faults alone, as `server check`. */
export async function faults(databases: Given, options: Partial<typeof OPTIONS & Config> = {}): Promise<string[]> {
  const findings = await examine(databases, options);
  return findings.filter(isFault).map(({ server, check }) => `${server} ${check}`);
}

/** What `readback doctor --fix --yes` does. */
export async function fixAll(databases: Given, options: Partial<typeof OPTIONS & Config> = {}): Promise<void> {
  const findings = await examine(databases, options);
  const config = testConfig(options);
  await withServers(databases, config, 'test', async (servers) => {
    await lockSetup(servers.primary);
    for (const fix of planFixes(findings.flatMap((finding) => finding.fix ?? [])))
      await applyFix(fix, { servers, databases, config, say: () => {} });
  });
}
