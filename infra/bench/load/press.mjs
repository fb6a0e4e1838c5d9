import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import autocannon from 'autocannon';

const run = promisify(execFile);
const script = fileURLToPath(new URL('requests.lua', import.meta.url));

/** Which of the two it is; wrk costs the machine a tenth of what autocannon costs. */
export const generator = await run('wrk', ['-v']).then(
  () => 'wrk',
  (error) => (error.code === 'ENOENT' ? 'autocannon' : 'wrk'),
);

/**
 * As many requests as the connections take, one at a time on each, in a closed loop. A request is `{ method, path, headers,
 * body }`; they are sent in turn. An answer other than 2xx is a failure of the whole measurement; with `checks`, which
 * cost the generator time, one with GraphQL errors is, too.
 */
export async function press(url, requests, options) {
  const result = await (generator === 'wrk' ? byWrk : byAutocannon)(url, requests, options);
  if (result.failed > 0) {
    const late = result.late > 0 ? `, ${result.late} of them without an answer within 10 s` : '';
    throw new Error(`${result.failed} of ${result.requests} requests to ${url} failed${late}`);
  }
  const { requests: answered, seconds, p50, p99 } = result;
  return { answered, perSecond: answered / seconds, p50, p99 };
}

async function byWrk(url, requests, { connections, seconds, checks }) {
  const dir = mkdtempSync(join(tmpdir(), 'readback-wrk-'));
  const file = join(dir, 'requests');
  writeFileSync(file, requests.map(lineOf).join('\n'));
  const args = [
    '-t1',
    `-c${connections}`,
    `-d${seconds}s`,
    '--timeout',
    '10s',
    '-s',
    script,
    url,
    '--',
    file,
    ...(checks ? ['check'] : []),
  ];
  try {
    const { stdout } = await run('wrk', args);
    return JSON.parse(/RESULT (.*)/.exec(stdout)[1]);
  } finally {
    rmSync(dir, { recursive: true });
  }
}

function lineOf({ method, path, headers, body = '' }) {
  const pairs = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  return [method, path, pairs.join('|'), body].join('\t');
}

async function byAutocannon(url, requests, { connections, seconds, checks }) {
  let refused = 0;
  const onResponse = (_, body) => body.includes('"errors":') && refused++;
  const sent = requests.map((request) => ({ ...request, ...(checks && { onResponse }) }));
  let opened = 0;
  const result = await autocannon({
    url,
    // Each connection goes through requests of its own. It would make all of them, and all would ask the same at a time.
    requests: sent.slice(0, 1),
    setupClient: (client) => client.setRequests(share(sent, opened++, connections)),
    connections,
    duration: seconds,
    timeout: 10,
  });
  return {
    requests: result.requests.total,
    seconds: result.duration,
    // Its errors are those without an answer in time, too.
    failed: result.errors + result.non2xx + refused,
    late: result.timeouts,
    p50: result.latency.p50,
    p99: result.latency.p99,
  };
}

const share = (requests, connection, connections) =>
  requests.filter((_, place) => place % connections === connection % connections);
