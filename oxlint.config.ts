import { defineConfig } from 'oxlint';

/** Imports point one way: a folder of `server/` imports from itself and from the lines below its own. */
const LAYERS = [
  ['cli'],
  ['boot'],
  ['http'],
  ['graphql'],
  ['auth'],
  ['reads', 'observe'],
  ['feed', 'replication', 'operate'],
  ['setup'],
  ['database'],
  ['declare'],
  ['lib'],
];

/** The settings' types are for everybody. */
const SETTINGS = 'boot/config.ts';

const POSTGRES = { name: 'postgres', message: 'Only server/database may import postgres.' };

/** No import of what the patterns match, and none of the driver. */
const refuse = (group: string[], message: string, paths: object[] = [POSTGRES]) => ({
  'no-restricted-imports': ['error', { paths, patterns: [{ group, message }] }],
});

const within = (rooms: string[]) => rooms.map((room) => `../**/${room}/**`);

const ROOMS = LAYERS.flat();

const server = LAYERS.flatMap((layer, index) =>
  layer.map((room) => {
    const below = LAYERS.slice(index + 1).flat();
    const others = ROOMS.filter((other) => other !== room && !below.includes(other));
    const project = ['cli', 'boot', 'graphql'].includes(room) ? [] : ['**/schema/project.ts'];
    return {
      files: [`server/${room}/**`],
      rules: refuse(
        [...within(room === 'cli' ? others : [...others, 'infra']), `!**/${SETTINGS}`, ...project],
        `server/${room} may import ${below.join(', ') || 'nothing of the rest'}.`,
        room === 'database' ? [] : [POSTGRES],
      ),
    };
  }),
);

export default defineConfig({
  plugins: ['eslint', 'typescript', 'unicorn', 'oxc', 'import', 'node', 'promise', 'vitest'],
  options: { typeAware: true, denyWarnings: true, reportUnusedDisableDirectives: 'error' },
  ignorePatterns: ['dist', 'schema/generated'],
  categories: { correctness: 'error' },
  rules: {
    eqeqeq: ['error', 'always', { null: 'ignore' }],
    'import/no-cycle': ['error', { ignoreTypes: false }],
    'import/no-default-export': 'error',
    'node/no-process-env': 'error',
    'no-restricted-imports': ['error', POSTGRES],
    'oxc/no-barrel-file': ['error', { threshold: 0 }],
    'typescript/await-thenable': 'error',
    'typescript/no-deprecated': 'error',
    'typescript/no-explicit-any': 'error',
    'typescript/no-floating-promises': 'error',
    'typescript/no-misused-promises': 'error',
    'typescript/no-unnecessary-type-assertion': 'error',
    'typescript/only-throw-error': 'error',
    'typescript/prefer-promise-reject-errors': 'error',
    'typescript/return-await': 'error',
    'typescript/switch-exhaustiveness-check': 'error',

    // Off: takes `#timer ??= …` for unused; the compiler finds the unused ones.
    'no-unused-private-class-members': 'off',
    // Off: the classes of the GraphQL types hold data only, and a text is counted in characters by spreading it.
    'typescript/no-misused-spread': 'off',
    // Off: tests are made in loops over tables, and a promise that nobody awaits is found above.
    'vitest/no-conditional-expect': 'off',
    'vitest/no-standalone-expect': 'off',
    'vitest/require-awaited-expect-poll': 'off',
    'vitest/valid-title': 'off',
  },
  overrides: [
    ...server,
    {
      files: ['server/console/**'],
      rules: refuse(within([...ROOMS, 'infra']), 'Runs in browsers: it knows the server by its schema only.'),
    },
    {
      files: ['schema/**'],
      rules: refuse(
        ['../**/{server,infra}/**', '!**/server/graphql/schema/project.ts'],
        'Knows nothing of the server.',
      ),
    },
    {
      files: ['schema/tables/**'],
      rules: {
        ...refuse(
          ['../../**', '!**/server/{declare,auth,reads,graphql,database}/**', '!**/server/lib/errors.ts'],
          'May import what the engine offers: declare, auth, reads, graphql, database.',
        ),
        // Two tables may refer to each other: each names the other's class in a function that is called later.
        'import/no-cycle': 'off',
      },
    },
    {
      files: ['infra/cluster/**'],
      rules: refuse(['../**/{server,schema}/**'], 'Knows nothing of the server.'),
    },
    // Apart from these rules
    {
      files: [`server/${SETTINGS}`, 'server/cli/program.ts', 'infra/**'],
      rules: { 'node/no-process-env': 'off' },
    },
    {
      files: ['**/*.test.ts', '**/test/**'],
      rules: { 'no-restricted-imports': 'off', 'node/no-process-env': 'off', 'typescript/no-explicit-any': 'off' },
    },
    { files: ['*.config.ts', 'server/test/support/cluster.ts'], rules: { 'import/no-default-export': 'off' } },
    // Plain JavaScript, without types: what comes over a socket is any, and a template takes what it is given.
    {
      files: ['infra/{bench,examples}/**/*.mjs'],
      rules: {
        'typescript/no-base-to-string': 'off',
        'typescript/restrict-template-expressions': 'off',
        'no-restricted-imports': 'off',
      },
    },
  ],
});
