import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** As measured, from the longest on, but for many that take a few seconds each. */
const LONGEST = [
  'feed-history',
  'history',
  'durability',
  'slots',
  'outage',
  'failover',
  'slow-clients',
  'fuzz',
  'fuzz-wire',
  'compiled',
  'doctor',
  'cli',
  'add',
  'sessions',
  'edge',
  'console',
  'setup',
  'access',
  'operate',
  'examples',
  'migrate',
  'embedded',
  'verify',
  'accounts',
  'rolling',
  'doctor-cluster',
  'limits',
];

/** A long file that is begun last runs while other processors have nothing to do. */
export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    // The projects stay apart: a process goes on with files of its own project.
    const projects = [...new Set(sorted.map(({ project }) => project.name))];
    return projects.flatMap((name) =>
      sorted.filter(({ project }) => project.name === name).toSorted((a, b) => placeOf(a) - placeOf(b)),
    );
  }
}

function placeOf({ moduleId }: TestSpecification): number {
  const place = LONGEST.findIndex((name) => moduleId.endsWith(`/${name}.test.ts`));
  return place < 0 ? LONGEST.length : place;
}
