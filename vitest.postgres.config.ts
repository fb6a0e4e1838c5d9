import { configDefaults, defineConfig } from 'vitest/config';
import config, { APART, isReadbackItself, UNIT } from './vitest.config.ts';

/** They have a process of their own, as they mock modules, measure it or give it less priority, or kill servers of their own. */
const ALONE = [
  'server/test/{feed-history,history,durability,slots,outage,failover,backup,acceptance}.test.ts',
  'infra/test/schemas.test.ts',
  'server/test/{budget,compiled,fuzz,fuzz-wire,level,slow-clients,traces}.test.ts',
];

/** Of a project, whatever its tables are. */
const OWN = ['server/test/project.test.ts', 'schema/**/*.test.ts'];

/** Two projects that share their servers. */
export default defineConfig({
  ...config,
  test: {
    ...config.test,
    name: 'postgres',
    globalSetup: ['server/test/support/cluster.ts'],
    projects: [
      { extends: true, test: { name: 'alone', include: isReadbackItself ? ALONE : [] } },
      {
        extends: true,
        test: {
          name: 'together',
          include: isReadbackItself ? ['{server,infra,schema}/**/*.test.ts'] : OWN,
          exclude: [...configDefaults.exclude, ...UNIT, ...APART, ...ALONE],
          isolate: false,
        },
      },
    ],
  },
});
