import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readConfig } from '../../server/boot/config.ts';
import { variables } from '../../server/boot/settings.ts';
import '../../schema/project.ts';
import { allTables } from '../../server/declare/declaration.ts';
import { setUp } from '../../server/setup/setup.ts';
import { freshDatabases, testConfig, type TestDatabases } from '../../server/test/support/databases.ts';
import { faults } from '../../server/test/support/doctor.ts';
import { startServer } from '../../server/test/support/server.ts';
import { readManifests, wrongFields, wrongValues, type Manifest } from './support/kubernetes.ts';

const manifests = readManifests('base');
const of = (kind: string) => manifests.filter((manifest) => manifest.kind === kind);
const one = (kind: string, name: string): Manifest => {
  const found = of(kind).find(({ metadata }) => metadata.name === name);
  if (!found) throw new Error(`there is no ${kind} ${name}`);
  return found;
};

/** Every value under a key of this name, however deep. */
function under(value: unknown, key: string): any[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, inner]) => [...(name === key ? [inner] : []), ...under(inner, key)]);
}

describe('the schemas of CloudNativePG and Kubernetes', () => {
  test('take every manifest', async () => {
    expect(await wrongValues(manifests)).toEqual([]);
    expect(await wrongFields(manifests)).toEqual([]);
  });

  /** A copy with another field, or another value of one. */
  const spoilt = (kind: string, name: string, change: (spec: any) => void): Manifest => {
    const copy = structuredClone(one(kind, name));
    change(copy.spec);
    return copy;
  };

  test('refuse fields that they do not know, at any depth, and that are missing', async () => {
    const typos: [string, (spec: any) => void, RegExp][] = [
      ['Cluster readback-primary', (spec) => (spec.instance = 3), /'instance'/],
      [
        'Cluster readback-primary',
        (spec) => (spec.replicationSlots.highAvailability.synchroniseLogicalDecoding = true),
        /'synchroniseLogicalDecoding'/,
      ],
      ['Subscription readback-replica-1', (spec) => delete spec.publicationName, /'publicationName' is missing/],
      ['Deployment readback', (spec) => (spec.template.spec.containers[0].readinesProbe = {}), /'readinesProbe'/],
      ['NetworkPolicy readback-server', (spec) => (spec.ingress[0].ports[0].protocl = 'TCP'), /'protocl'/],
      [
        'Job readback-migrate',
        (spec) => (spec.template.spec.containers[0].securityContext.runAsNotRoot = true),
        /'runAsNotRoot'/,
      ],
    ];
    const copies = typos.map(([named, change]) => spoilt(...(named.split(' ') as [string, string]), change));
    const found = await wrongFields(copies);
    for (const [, , problem] of typos) expect(found.join('\n').replaceAll('"', '')).toMatch(problem);
  });

  test('refuse values of the wrong type', async () => {
    const cluster = spoilt('Cluster', 'readback-primary', (spec) => (spec.instances = 'three'));
    const service = spoilt('Service', 'readback', (spec) => (spec.ports[0].port = '80'));
    expect(await wrongValues([cluster, service])).toEqual([
      expect.stringMatching(/^Cluster readback-primary: .*instances must be integer/),
      expect.stringMatching(/^Service readback: .*port must be integer/),
    ]);
  });
});

const SECRETS = ['readback-server', 'readback-replicator'];
const clusters = of('Cluster').map(({ metadata }) => metadata.name);

describe('what refers to something refers to what is there', () => {
  test('secrets: those that the page tells to make, and those that the operator makes for each cluster', () => {
    const made = clusters.flatMap((name) => [`${name}-superuser`, `${name}-ca`]);
    const asked = [
      ...under(manifests, 'secretKeyRef').map(({ name }) => name),
      ...under(manifests, 'secret').map(({ secretName }) => secretName),
      ...['passwordSecret', 'password', 'sslRootCert'].flatMap((key) => under(manifests, key).map(({ name }) => name)),
    ];
    expect(new Set(asked)).toEqual(new Set([...SECRETS, ...made]));
    expect(of('Secret')).toEqual([]);
  });

  test('config maps, clusters and the target of the autoscaler', () => {
    expect(under(manifests, 'configMapRef').map(({ name }) => name)).toEqual(['readback', 'readback']);
    expect(of('ConfigMap').map(({ metadata }) => metadata.name)).toEqual(['readback']);
    for (const { spec } of of('Subscription')) {
      expect(clusters).toContain(spec.cluster.name);
      const { externalClusters } = one('Cluster', spec.cluster.name).spec;
      expect(externalClusters.map(({ name }: { name: string }) => name)).toContain(spec.externalClusterName);
    }
    const { kind, name } = one('HorizontalPodAutoscaler', 'readback').spec.scaleTargetRef;
    expect(one(kind, name)).toBeDefined();
    for (const values of under(manifests, 'matchExpressions').flatMap((all) => all.map((each: any) => each.values)))
      expect(values).toEqual(clusters);
  });

  test('selectors choose the pods of the server', () => {
    const { template, selector } = one('Deployment', 'readback').spec;
    const { labels } = template.metadata;
    expect(labels).toMatchObject(selector.matchLabels);
    expect(labels).toMatchObject(one('Service', 'readback').spec.selector);
    expect(labels).toMatchObject(one('PodDisruptionBudget', 'readback').spec.selector.matchLabels);
    expect(labels).toMatchObject(one('NetworkPolicy', 'readback-server').spec.podSelector.matchLabels);
    expect(one('Job', 'readback-migrate').spec.template.metadata.labels).not.toMatchObject(selector.matchLabels);
  });
});

const podOf = (kind: string, name: string) => one(kind, name).spec.template.spec;
const server = podOf('Deployment', 'readback');
const probed = [...new Set(under(server, 'httpGet').map(({ path }) => path))];
const job = podOf('Job', 'readback-migrate');

/** The environment as the container has it, with `secret` for every password. */
function environmentOf({ containers: [container] }: any): Record<string, string> {
  const environment = { ...one('ConfigMap', 'readback').data };
  for (const { name, value, valueFrom } of container.env) {
    environment[name] = valueFrom
      ? 'secret'
      : value.replace(/\$\((\w+)\)/g, (_: string, other: string) => environment[other]!);
  }
  return environment;
}

test('the migration publishes what the project declares: no manifest names a table', () => {
  const names = allTables().map(({ name }) => name);
  expect(names.length).toBeGreaterThan(0);
  const words = new Set(JSON.stringify(manifests).split(/\W+/));
  expect(names.filter((name) => words.has(name))).toEqual([]);
});

describe('the server and the migration', () => {
  test.each([
    ['server', server],
    ['migration', job],
  ])('the %s knows every variable that is set', (_, pod) => {
    const environment = environmentOf(pod);
    const passwords = Object.keys(environment).filter((name) => environment[name] === 'secret');
    const names = Object.keys(environment).filter((name) => !passwords.includes(name));
    expect(names.filter((name) => !(name in variables.shape))).toEqual([]);
    const config = readConfig(environment);
    expect(config.databases?.replicas).toHaveLength(of('Subscription').length);
    for (const { url, adminUrl } of [config.databases!.primary, ...config.databases!.replicas])
      for (const text of [url, adminUrl]) {
        const { hostname, searchParams, pathname } = new URL(text);
        expect(clusters.map((name) => `${name}-rw`)).toContain(hostname);
        expect(pathname).toBe('/readback');
        expect(searchParams.get('sslmode')).toBe('verify-full');
        const mounts = pod.containers[0].volumeMounts.map(({ mountPath }: any) => `${mountPath}/ca.crt`);
        expect(mounts).toContain(searchParams.get('sslrootcert'));
      }
  });

  test('the server has no administrator, and nobody has a password in a file', () => {
    const { primary, replicas } = readConfig(environmentOf(server)).databases!;
    for (const { url, adminUrl } of [primary, ...replicas]) expect(adminUrl).toBe(url);
    for (const password of under(manifests, 'value').filter(
      (value) => typeof value === 'string' && value.includes('://'),
    ))
      for (const [, given] of password.matchAll(/:\/\/[^:@/]+:([^@]+)@/g)) expect(given).toMatch(/^\$\(\w+\)$/);
  });

  test.each([
    ['server', server],
    ['migration', job],
  ])('the %s runs as nobody, and writes nowhere', (_, pod) => {
    expect(pod).toMatchObject({
      automountServiceAccountToken: false,
      securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
    });
    for (const { securityContext } of pod.containers)
      expect(securityContext).toEqual({
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
      });
  });

  test('a stop is given the time that it takes', () => {
    const { SHUTDOWN_GRACE_MS } = readConfig(environmentOf(server));
    const [{ lifecycle }] = server.containers;
    const needed = lifecycle.preStop.sleep.seconds + SHUTDOWN_GRACE_MS / 1000;
    expect(server.terminationGracePeriodSeconds).toBeGreaterThanOrEqual(needed + 2);
  });

  test('the databases have connections for as many servers as there may be', () => {
    const { PRIMARY_POOL_SIZE, PRIMARY_READS_MAX, REPLICA_POOL_SIZE } = readConfig(environmentOf(server));
    const servers = one('HorizontalPodAutoscaler', 'readback').spec.maxReplicas + 1; // one more while it rolls
    const most = (name: string) => Number(one('Cluster', name).spec.postgresql.parameters.max_connections);
    const spare = 30; // the operator, replication, the migration and whoever looks
    // Watch, and what gives up slots.
    expect(most('readback-primary')).toBeGreaterThanOrEqual(
      servers * (PRIMARY_POOL_SIZE + PRIMARY_READS_MAX + 2) + spare,
    );
    // Watch, listener, feed, replays and pruning.
    for (const { spec } of of('Subscription'))
      expect(most(spec.cluster.name)).toBeGreaterThanOrEqual(servers * (REPLICA_POOL_SIZE + 8) + spare);
  });

  test('the probes ask on the port that the server listens on', () => {
    expect(probed).toEqual(['/health/live', '/health/ready']);
    const [{ ports }] = server.containers;
    expect(String(ports[0].containerPort)).toBe(environmentOf(server)['PORT']);
    for (const { port } of under(server, 'httpGet')) expect(port).toBe(ports[0].name);
  });
});

describe('the subscriptions, as the operator makes them', () => {
  let databases: TestDatabases;
  const quoted = (name: string) => `"${name}"`;
  beforeAll(async () => {
    databases = await freshDatabases({ settle: false, replicas: 2 });
  });
  afterAll(() => databases.drop());

  test('agree with set-up: it waits for them, and everything works', async () => {
    const { primary } = databases.config;
    const [role] = one('Cluster', 'readback-primary').spec.managed.roles;
    await databases.primary.unsafe(
      `do $$ begin create role ${role.name} login replication password 'secret'; exception when duplicate_object then null; end $$`,
    );
    const url = new URL(primary.adminUrl);
    url.username = role.name;
    url.password = '';
    const awaited = testConfig({ SUBSCRIPTIONS: 'awaited' });
    const said = Promise.withResolvers<void>();
    const ready = setUp({ ...databases.config, replicationUrl: url.href }, awaited, (line) => {
      if (line.includes('waiting for the subscription')) said.resolve();
    });
    await Promise.race([said.promise, ready]);
    const { hostname, port, pathname } = url;
    for (const [index, { spec }] of of('Subscription').entries()) {
      const parameters = Object.entries<string>(spec.parameters).map(([name, value]) => `${quoted(name)} = '${value}'`);
      await databases.replicas[index]!.unsafe(
        `create subscription "${spec.name}" connection 'host=${hostname} port=${port} dbname=${pathname.slice(1)} user=${role.name} password=secret'
         publication "${spec.publicationName}" with (${parameters.map((each) => each.replace(/_replica_(\d)/, `_${databases.name}_$1`)).join(', ')})`,
      );
    }
    await ready;
    expect(await faults(databases.config)).toEqual([]);
    const running = await startServer({}, databases);
    const { data } = await running.query<any, object>(
      'mutation { createUser(input: { username: "ada", email: "ada@example.com", password: "correct horse" }, confirm: REPLICATED) { bookmark confirmation { level } } }',
    );
    expect(data.createUser.confirmation.level).toBe('REPLICATED');
    for (const path of probed) expect((await fetch(running.url + path)).status).toBe(200);
    await running.stop();
    // And once more, as with the next image.
    await setUp({ ...databases.config, replicationUrl: url.href }, awaited, () => {});
    expect(await faults(databases.config)).toEqual([]);
  }, 60_000);

  test('have settings that the doctor asks for', () => {
    const { parameters } = one('Cluster', 'readback-primary').spec.postgresql;
    expect(parameters).toMatchObject({
      wal_level: 'logical',
      sync_replication_slots: 'on',
      hot_standby_feedback: 'on',
    });
    expect(parameters.max_slot_wal_keep_size).toMatch(/^\d+GB$/);
    const slots = of('Subscription').map(({ spec }) => spec.parameters.slot_name);
    expect(new Set(slots).size).toBe(slots.length);
    for (const { spec } of of('Subscription')) {
      expect(spec.parameters).toMatchObject({
        streaming: 'on',
        failover: 'true',
        slot_name: expect.stringMatching(/^readback_/),
      });
      expect(one('Cluster', spec.cluster.name).spec.postgresql.parameters.track_commit_timestamp).toBe('on');
      const { connectionParameters: connection } = one('Cluster', spec.cluster.name).spec.externalClusters[0];
      const given = new URL(one('ConfigMap', 'readback').data!['PRIMARY_REPLICATION_URL']!);
      expect(connection).toMatchObject({
        host: given.hostname,
        port: given.port,
        user: given.username,
        dbname: given.pathname.slice(1),
      });
    }
  });
});
