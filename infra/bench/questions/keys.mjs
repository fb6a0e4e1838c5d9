import { KEY_TYPES, keyOf, startKeyedBed } from '../bed/keyed.mjs';
import { startVariant } from '../bed/variants.mjs';
import { ratio } from '../report/rounds.mjs';
import { graphql } from './ask.mjs';
import { checked, CONNECTIONS, measure, pressedWarm, requestsFor, warmUp } from './http.mjs';

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

const WHAT = Object.keys(ASKS.uuid);

/** Processor time of a request, by what is asked: one kind of key right after the other, so that what slows the machine slows both. */
async function askAll(variant, requests, { round, load }) {
  const results = KEY_TYPES.map((name) => ({ name }));
  for (const what of WHAT)
    for (const result of round % 2 === 0 ? results : results.toReversed())
      result[what] = (await pressedWarm(variant, requests[result.name][what], load)).cpu;
  return results;
}

/** Once both kinds have answered alike. */
async function warmedUp(variant, users, load) {
  const requests = Object.fromEntries(KEY_TYPES.map((type) => [type, {}]));
  for (const what of WHAT) {
    let expected;
    for (const type of KEY_TYPES) {
      const ask = ASKS[type][what];
      expected = await checked({ ...variant, name: type }, ask, users, expected);
      requests[type][what] = requestsFor(variant, ask, users);
      await warmUp(variant, requests[type][what], load);
    }
  }
  return requests;
}

const timesOf = ({ name, ...times }) =>
  `${name} ${WHAT.map((what) => `${what} ${Math.round(times[what])} µs`).join(', ')}`;

export const keys = {
  id: 'keys',
  title: 'The same rows under a key of uuid and of bigint, from one process',
  variants: KEY_TYPES,
  async run({ rounds, seconds, users, fsync, say }) {
    const bed = await startKeyedBed({ users, fsync, say });
    const results = [];
    let variant;
    try {
      variant = await startVariant('readback', bed, { as: 'administrator' });
      const load = { connections: CONNECTIONS, seconds };
      const requests = await warmedUp(variant, users, load);
      for (let round = 1; round <= rounds; round++) {
        const answers = await askAll(variant, requests, { round, load });
        say(`keys round ${round}: ${answers.map(timesOf).join('; ')}`);
        results.push(...answers);
      }
    } finally {
      await variant?.stop();
      await bed.stop();
    }
    const measures = WHAT.map((what) =>
      measure(what, `${what}: processor time of the server a request, µs`, 'less', results),
    );
    for (const { id, variants } of measures)
      say(`keys: ${id}: bigint ${ratio(variants.bigint, variants.uuid).toFixed(2)} x uuid`);
    return measures;
  },
};
