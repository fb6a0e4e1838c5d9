import { execFile } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DatabaseConfig } from '../../boot/config.ts';
import { projectRoot } from '../../lib/root.ts';

export interface Outcome {
  code: number;
  out: string;
  err: string;
}

/** `readback ARGS…`, a process of its own whose output is no terminal, and whom nobody answers. */
export function command(
  args: string[],
  environment: Record<string, string>,
  cwd = tmpdir(),
  root = projectRoot,
): Promise<Outcome> {
  const { PATH = '', HOME = '' } = process.env;
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [join(root, 'infra/launch.mjs'), ...args],
      { cwd, env: { PATH, HOME, ...environment } },
      (error, out, err) => resolve({ code: error ? Number(error.code) : 0, out, err }),
    );
    child.stdin?.end();
  });
}

/** The variables that name these databases. */
export const variablesOf = ({ primary, replicas, replicationUrl }: DatabaseConfig): Record<string, string> => ({
  PRIMARY_URL: primary.url,
  PRIMARY_ADMIN_URL: primary.adminUrl,
  REPLICA_URLS: replicas.map(({ url }) => url).join(','),
  REPLICA_ADMIN_URLS: replicas.map(({ adminUrl }) => adminUrl).join(','),
  ...(replicationUrl !== undefined && { PRIMARY_REPLICATION_URL: replicationUrl }),
});
