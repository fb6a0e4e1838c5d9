import type { Reporter, TestModule } from 'vitest/node';
import { findProgram, PROGRAMS } from '../../programs.ts';

const NAMES = Object.keys(PROGRAMS) as (keyof typeof PROGRAMS)[];

/** The tests that need a program, by its name as their tag, run where it is there. */
export const programTags = NAMES.map((name) => ({ name, skip: findProgram(name) === undefined }));

/** Says at the end, in a line for each program that is missing, what was left out for it, and how to have it. */
export class LeftOut implements Reporter {
  readonly #isReadbackItself: boolean;

  constructor(isReadbackItself: boolean) {
    this.#isReadbackItself = isReadbackItself;
  }

  onTestRunEnd(modules: readonly TestModule[]): void {
    if (!this.#isReadbackItself)
      console.log("Left out, as the project is not the example alone: Readback's own tests, which go by its tables.");
    for (const name of NAMES) {
      const what = findProgram(name) === undefined ? leftOut(name, modules) : undefined;
      if (what !== undefined)
        console.log(`Left out, as ${name} is missing: ${what}. To have it: ${PROGRAMS[name].remedy}`);
    }
  }
}

function leftOut(name: string, modules: readonly TestModule[]): string | undefined {
  // Those on containers have a command of their own: who runs one file did not ask for them.
  if (name === 'docker') return modules.length > 1 ? 'npm run test:containers' : undefined;
  const files = modules.flatMap(({ children, relativeModuleId }) => {
    const tests = [...children.allTests('skipped')].filter(({ tags }) => tags.includes(name));
    return tests.length > 0 ? [`${tests.length} tests of ${relativeModuleId}`] : [];
  });
  return files.length > 0 ? files.join(', ') : undefined;
}
