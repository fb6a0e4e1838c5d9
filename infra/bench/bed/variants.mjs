import { fileURLToPath } from 'node:url';
import { serverFlags } from '../../launch/child.mjs';
import { ACCOUNTS } from './bed.mjs';
import { freePort, startNode } from './processes.mjs';

const readback = fileURLToPath(new URL('../../../dist/readback/main.js', import.meta.url));
const peer = (name) => fileURLToPath(new URL(`../peers/${name}.mjs`, import.meta.url));

export const POOL_SIZE = 10;

/** Every feature on: people sign in, and every limit counts, so high that it refuses none of the load. */
const READBACK = {
  ACCESS: 'protected',
  INTROSPECTION: 'off',
  PRIMARY_POOL_SIZE: String(POOL_SIZE),
  REPLICA_POOL_SIZE: String(POOL_SIZE),
  REQUESTS_PER_SECOND_MAX: '1000000',
  SOCKETS_PER_ADDRESS_MAX: '1000000',
  SUBSCRIPTIONS_PER_USER_MAX: '1000000',
  SUBSCRIPTIONS_PER_ADDRESS_MAX: '1000000',
};

/**
 * A variant in a fresh process; `headers` are those of a client that may do what is asked. `watched` is told the address
 * while the process starts; `flags` are for Node.
 */
export async function startVariant(name, bed, { as = 'reader', settings = {}, watched, flags = [] } = {}) {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const watching = watched?.(url);
  const variant =
    name === 'readback'
      ? await startReadback(url, bed, { as, settings, flags })
      : await startPeer(name, url, bed, { settings, flags });
  await watching;
  return { name, url, ...variant };
}

async function startReadback(url, { urls }, { as, settings, flags }) {
  const replicas = urls.replicas.map(({ url }) => url).join(',');
  const env = {
    ...READBACK,
    PORT: new URL(url).port,
    PRIMARY_URL: urls.primary.url,
    REPLICA_URLS: replicas,
    ...settings,
  };
  const child = await startNode([...serverFlags, ...flags, readback, 'serve'], env, 'Readback is ready');
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

async function startPeer(name, url, { urls }, { settings, flags }) {
  const env = {
    PORT: new URL(url).port,
    PRIMARY_URL: urls.primary.adminUrl,
    REPLICA_URL: urls.replicas[0].adminUrl,
    POOL_SIZE: String(POOL_SIZE),
    ...settings,
  };
  return { headers: {}, ...(await startNode([...flags, peer(name)], env, 'listening')) };
}
