import { KEY_TYPES, keyOf, startKeyedBed } from '../bed/keyed.mjs';
import { startVariant } from '../bed/variants.mjs';
import { turns } from '../report/rounds.mjs';
import { graphql } from './ask.mjs';
import { checked, CONNECTIONS, measure, pressed } from './http.mjs';

const MANY = 50;
const places = Array.from({ length: MANY }, (_, index) => index);

/** All is compared but the keys. */
const withoutKeys = (data) => JSON.parse(JSON.stringify(data, (name, value) => (name === 'id' ? undefined : value)));

function asksOf(type) {
  const Type = type[0].toUpperCase() + type.slice(1);
  const ask = (query, variables = () => ({})) => {
    const { request, rows } = graphql(query, variables);
    return { request, rows: (answer) => withoutKeys(rows(answer)) };
  };
  const id = (n) => ({ id: keyOf(type, n) });
  const fields = 'id name note madeAt';
  const aliased = places.map((place) => `r${place}: ${type}Owner(id: $i${place}) { ${fields} }`);
  return {
    point: ask(`query ($id: ID!) { row: ${type}Owner(id: $id) { ${fields} } }`, id),
    aliased: ask(`query (${places.map((place) => `$i${place}: ID!`).join(' ')}) { ${aliased.join(' ')} }`, (n, users) =>
      Object.fromEntries(places.map((place) => [`i${place}`, keyOf(type, ((n + place * 613) % users) + 1)])),
    ),
    page: ask(`{ rows: ${type}Owners(first: 20) { nodes { ${fields} } } }`),
    nested: ask(`{ rows: ${type}Owners(first: 20) { nodes { id name
      items: ${type}Items(first: 5) { totalCount nodes { id owner { id name } } } } } }`),
    update: ask(
      `mutation ($id: ID!, $input: Update${Type}OwnerInput!) {
        update: update${Type}Owner(id: $id, input: $input) { row: ${type}Owner { id name } } }`,
      (n) => ({ ...id(n), input: { name: `Name${n}` } }),
    ),
  };
}

const ASKS = Object.fromEntries(KEY_TYPES.map((type) => [type, asksOf(type)]));

/** What is asked with one kind of key in one fresh process: processor time of a request, by what is asked. */
async function askAll(name, bed, { seconds, expected }) {
  const variant = { ...(await startVariant('readback', bed, { as: 'administrator' })), name };
  const { users } = bed;
  const result = { name };
  try {
    for (const [what, ask] of Object.entries(ASKS[name])) {
      expected[what] = await checked(variant, ask, users, expected[what]);
      result[what] = (await pressed(variant, ask, { users, connections: CONNECTIONS, seconds })).cpu;
    }
  } finally {
    await variant.stop();
  }
  return result;
}

export const keys = {
  id: 'keys',
  title: 'The same rows under a key of uuid and of bigint',
  variants: KEY_TYPES,
  async run({ variants, rounds, seconds, users, fsync, say }) {
    const bed = await startKeyedBed({ users, fsync, say });
    const results = [];
    const expected = {};
    try {
      for (const { round, name } of turns(variants, rounds)) {
        const result = await askAll(name, bed, { seconds, expected });
        say(
          `keys round ${round}: ${name} ${Object.entries(result)
            .slice(1)
            .map(([what, cpu]) => `${what} ${Math.round(cpu)} µs`)
            .join(', ')}`,
        );
        results.push(result);
      }
    } finally {
      await bed.stop();
    }
    return Object.keys(ASKS.uuid).map((what) =>
      measure(what, `${what}: processor time of the server a request, µs`, 'less', results),
    );
  },
};
