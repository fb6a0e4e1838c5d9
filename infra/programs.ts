import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** What tests use and npm does not bring. A test that needs one has its name as a tag, and is left out without it. */
interface Program {
  /** Any of them, on the PATH. */
  files: string[];
  /** The first of these that is set and names a program comes before. */
  variables: string[];
  remedy: string;
}

export const PROGRAMS: Record<'chromium' | 'docker' | 'openssl' | 'pgbouncer', Program> = {
  chromium: {
    files: ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'],
    variables: ['CHROMIUM', 'CHROME_BIN', 'CHROME_PATH'],
    remedy: 'apt-get install chromium, or set CHROMIUM to the path of a Chromium or Chrome',
  },
  docker: { files: ['docker'], variables: [], remedy: 'see https://docs.docker.com/engine/install/' },
  openssl: { files: ['openssl'], variables: [], remedy: 'apt-get install openssl' },
  pgbouncer: { files: ['pgbouncer'], variables: [], remedy: 'apt-get install pgbouncer' },
};

/** Its path; undefined where it is missing. */
export function findProgram(name: keyof typeof PROGRAMS): string | undefined {
  const { files, variables } = PROGRAMS[name];
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  const named = variables.map((variable) => process.env[variable]);
  const onPath = files.flatMap((file) => folders.map((folder) => join(folder, file)));
  return [...named, ...onPath].find((file) => file !== undefined && isExecutable(file));
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** As root, in a container, without a screen, and quiet: it asks nobody for updates. */
export const CHROMIUM_FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
