import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ACCOUNTS, programOf } from './bed.mjs';
import { freePort, startNode } from './processes.mjs';

const peer = (name) => fileURLToPath(new URL(`../peers/${name}.mjs`, import.meta.url));

export const POOL_SIZE = 10;

/** Every feature on: people sign in, and every limit counts, so high that it refuses none of the load. */
const READBACK = {
  ACCESS: 'protected',
  INTROSPECTION: 'off',
  PRIMARY_POOL_SIZE: String(POOL_SIZE),
  REPLICA_POOL_SIZE: String(POOL_SIZE),
  REQUESTS_PER_SECOND_MAX: '1000000',
  COST_PER_SECOND_MAX: '1000000000',
  SOCKETS_PER_ADDRESS_MAX: '1000000',
  SUBSCRIPTIONS_PER_USER_MAX: '1000000',
  SUBSCRIPTIONS_PER_ADDRESS_MAX: '1000000',
};

/** What is asked of an earlier commit, and how, is what is asked of today's Readback. */
export const kindOf = (name) => (name === 'before' ? 'readback' : name);

/**
 * A variant in a fresh process; `headers` are those of a client that may do what is asked. `watched` is told the address
 * and the process's id while it starts; `flags` are for Node.
 */
export async function startVariant(name, bed, { as = 'reader', settings = {}, watched, flags = [] } = {}) {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const started = kindOf(name) === 'readback' ? startReadback : startPeer;
  const spawned = (pid) => watched?.(url, pid);
  return { name, url, ...(await started(url, bed, { name, as, settings, flags, spawned })) };
}

/** Of the code that has set up these databases, with the flags that its own launcher gives it. */
async function startReadback(url, { home, urls }, { as, settings, flags, spawned }) {
  const replicas = urls.replicas.map(({ url }) => url).join(',');
  const env = {
    ...READBACK,
    PORT: new URL(url).port,
    PRIMARY_URL: urls.primary.url,
    REPLICA_URLS: replicas,
    ...settings,
  };
  const { serverFlags = [] } = await import(join(home, 'infra/launch/child.mjs'));
  const child = await startNode(
    [...serverFlags, ...flags, programOf(home), 'serve'],
    env,
    'Readback is ready',
    spawned,
  );
  return { headers: { authorization: `Bearer ${await signIn(url, as)}` }, ...child };
}

async function signIn(url, login) {
  const query =
    'mutation ($login: String!, $password: String!) { signIn(login: $login, password: $password) { token } }';
  const response = await fetch(`${url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ query, variables: { login, password: ACCOUNTS[login] } }),
  });
  const { data, errors } = await response.json();
  if (!data) throw new Error(`${login} could not sign in: ${JSON.stringify(errors)}`);
  return data.signIn.token;
}

async function startPeer(url, { urls }, { name, settings, flags, spawned }) {
  const env = {
    PORT: new URL(url).port,
    PRIMARY_URL: urls.primary.adminUrl,
    REPLICA_URL: urls.replicas[0].adminUrl,
    POOL_SIZE: String(POOL_SIZE),
    ...settings,
  };
  return { headers: {}, ...(await startNode([...flags, peer(name)], env, 'listening', spawned)) };
}
