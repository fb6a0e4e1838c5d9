import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { parseAllDocuments, parse } from 'yaml';
import { projectRoot } from '../../../server/lib/root.ts';

export interface Manifest {
  apiVersion: string;
  kind: string;
  metadata: { name: string };
  spec?: any;
  data?: Record<string, string>;
}

/** All that kustomize would apply, file by file as kustomization.yaml names them. */
export function readManifests(folder: string): Manifest[] {
  const read = (file: string) => readFileSync(join(projectRoot, 'infra/kubernetes', folder, file), 'utf8');
  const { resources } = parse(read('kustomization.yaml')) as { resources: string[] };
  return resources.flatMap((file) =>
    parseAllDocuments(read(file), { merge: true }).map((document) => {
      for (const { message } of document.errors) throw new Error(`${file}: ${message}`);
      return document.toJS() as Manifest;
    }),
  );
}

/** Where the packages have the types and validators, which are generated from the operator's and Kubernetes' sources. */
function moduleOf({ apiVersion, kind }: Manifest): string {
  const root = apiVersion.startsWith('postgresql.cnpg.io/') ? '@kubernetes-models/cloudnative-pg' : 'kubernetes-models';
  return `${root}/${apiVersion}/${kind}`;
}

/** Values that the schemas do not take: `Kind name: path must be …`. They do not mind fields that they do not know. */
export async function wrongValues(manifests: Manifest[]): Promise<string[]> {
  const problems: string[] = [];
  for (const manifest of manifests) {
    const module = (await import(moduleOf(manifest))) as Record<
      string,
      new (data: unknown) => { validate: () => void }
    >;
    try {
      new module[manifest.kind]!(manifest).validate();
    } catch (error) {
      problems.push(`${manifest.kind} ${manifest.metadata.name}: ${(error as Error).message}`);
    }
  }
  return problems;
}

const run = promisify(execFile);

/** What the compiler finds wrong with the manifests as literals of their types: fields that are unknown, or missing. */
export async function wrongFields(manifests: Manifest[]): Promise<string[]> {
  const dir = join(projectRoot, 'node_modules', '.cache', `readback-manifests-${crypto.randomUUID()}`);
  mkdirSync(dir, { recursive: true });
  const literals = manifests.map(
    (manifest, index) =>
      `import type { I${manifest.kind} as T${index} } from '${moduleOf(manifest)}';\n` +
      `export const m${index}: T${index} = ${JSON.stringify(manifest)};\n`,
  );
  writeFileSync(join(dir, 'manifests.ts'), literals.join(''));
  const flags = [
    '--noEmit',
    '--strict',
    '--skipLibCheck',
    '--ignoreConfig',
    '--target',
    'esnext',
    '--module',
    'nodenext',
  ];
  const tsc = join(projectRoot, 'node_modules', 'typescript', 'bin', 'tsc');
  try {
    await run(process.execPath, [tsc, ...flags, join(dir, 'manifests.ts')], { cwd: dir });
    return [];
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    return `${stdout}${stderr}`.trim().split('\n');
  } finally {
    rmSync(dir, { recursive: true });
  }
}
