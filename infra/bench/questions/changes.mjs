import { userId } from '../bed/bed.mjs';
import { tellNobody, tellPeers } from '../bed/notify.mjs';
import { kindOf, startVariant } from '../bed/variants.mjs';

const USER = 'username firstName lastName createdAt';
const document = (id) => `subscription { userChanged { operation key user { ${id} ${USER} } } }`;

export const subscriptionOf = (name) =>
  name === 'broadcast' ? undefined : document(name === 'postgraphile' ? 'rowId' : 'id');

const inMemory = (name) => name === 'pubsub' || name === 'broadcast';

/** A variant that tells of changes, in a fresh process, with what it needs on the replica. */
export async function withChanges(name, bed, work) {
  if (kindOf(name) !== 'readback' && !inMemory(name)) await tellPeers(bed.replica);
  const variant = await startVariant(name, bed);
  try {
    return await work(variant);
  } finally {
    await variant.stop();
    await tellNobody(bed.replica);
  }
}

let number = 0;

/** This many changed users, with one transaction on the primary. Resolves after the commit. */
export async function change({ name, url }, { primary }, many = 1) {
  const firstName = `Changed ${++number}`;
  if (inMemory(name)) return publish(url, firstName, many);
  const ids = Array.from({ length: many }, (_, index) => userId(index + 1));
  await primary`update users set first_name = ${firstName} where id = any(${ids}::uuid[])`;
}

async function publish(url, firstName, many) {
  const events = Array.from({ length: many }, (_, index) => {
    const [id, n] = [userId(index + 1), index + 1];
    const createdAt = '2026-01-01T00:00:01.000000Z';
    return {
      userChanged: {
        operation: 'UPDATE',
        key: id,
        user: { id, username: `user${n}`, firstName, lastName: `Last${n}`, createdAt },
      },
    };
  });
  await fetch(`${url}/publish`, { method: 'POST', body: JSON.stringify(events) }).then((response) => response.text());
}
