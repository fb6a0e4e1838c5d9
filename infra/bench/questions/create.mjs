import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { cpuFromNow } from '../bed/processes.mjs';
import { kindOf, startVariant } from '../bed/variants.mjs';
import { press } from '../load/press.mjs';
import { turns } from '../report/rounds.mjs';
import { graphql, rest } from './ask.mjs';
import { measure } from './http.mjs';

const program = fileURLToPath(new URL('../load/hashes.mjs', import.meta.url));
const run = promisify(execFile);

/** As many as Readback hashes at the same time where HASH_CONCURRENCY is left out. */
const HASHES_AT_ONCE = 2;
const CONNECTIONS = 8;
const MANY = 3000;

const asks = {
  readback: graphql(
    'mutation ($input: CreateUserInput!) { createUser(input: $input) { user { id username } } }',
    (name) => ({ input: { username: name, email: `${name}@example.com`, password: 'correct horse battery' } }),
  ),
  seed: rest(
    'POST',
    () => '/api/users',
    () => {},
    (name) => ({ username: name, email: `${name}@example.com`, password: 'correct horse battery' }),
  ),
};

/** Bound by the hash: Readback beside argon2 alone, and the seed, which takes bcrypt, for information. */
export const create = {
  id: 'create',
  title: 'Creating a user with a password',
  variants: ['readback', 'argon2', 'seed'],
  compared: { cpu: 'processor time per user created', perSecond: 'users a second' },
  async run({ bed, variants, rounds, seconds, say }) {
    const results = [];
    for (const { round, name } of turns(variants, rounds)) {
      const result = name === 'argon2' ? await bare(seconds) : await created(name, await bed(name), seconds);
      say(`create round ${round}: ${name} ${result.perSecond.toFixed(1)} a second`);
      results.push({ name, ...result });
    }
    return [
      measure('perSecond', 'users per second (of argon2: hashes)', 'more', results),
      measure('cpu', 'processor time of the server a user, µs', 'less', results),
    ];
  },
};

async function bare(seconds) {
  const { stdout } = await run(process.execPath, [program, String(seconds), String(HASHES_AT_ONCE)]);
  return { perSecond: JSON.parse(stdout) };
}

async function created(name, bed, seconds) {
  const variant = await startVariant(name, bed);
  const prefix = `new${crypto.randomUUID().slice(0, 8)}`;
  const requests = Array.from({ length: MANY }, (_, n) => asks[kindOf(name)].request(`${prefix}-${n}`));
  try {
    const signed = requests.map((request) => ({ ...request, headers: { ...variant.headers, ...request.headers } }));
    const used = cpuFromNow(variant.pid);
    const { answered, perSecond } = await press(variant.url, signed, { connections: CONNECTIONS, seconds });
    const cpu = used() / answered;
    const [{ count }] = await bed.primary`select count(*)::int as count from users where username like ${`${prefix}%`}`;
    if (count < answered * 0.9) throw new Error(`${name} created ${count} users, and answered as if more`);
    return { perSecond, cpu };
  } finally {
    await variant.stop();
    await bed.primary`delete from users where username like ${`${prefix}%`}`;
  }
}
