import { hash } from 'argon2';
import postgres from 'postgres';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { CreateUserDocument, SignInDocument } from '../../schema/generated/operations.ts';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { inject } from 'vitest';
import { setUp } from '../setup/setup.ts';
import { freshDatabases, testConfig } from './support/databases.ts';
import { addUser, PASSWORD, person, startProtected } from './support/people.ts';
import { processorMs } from './support/processor.ts';
import type { TestServer } from './support/server.ts';
import { sqlFolderWith } from './support/sql-folder.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startProtected({
    SIGN_IN_FAILURES_PER_ADDRESS_MAX: 1000,
    SIGN_UPS_PER_ADDRESS_MAX: 1000,
    TRUST_PROXY: ['127.0.0.1'],
  });
});
afterAll(() => server.stop());

let serial = 0;
const signUp = async (input: object, headers = {}, to = server) => {
  const values = {
    username: `account-${++serial}`,
    email: `account-${serial}@example.com`,
    password: PASSWORD,
    ...input,
  };
  const { errors } = await to.query(CreateUserDocument, { input: values }, headers);
  return errors.length === 0 ? 'ok' : `${errors[0]!.extensions.code} ${errors[0]!.extensions.field ?? ''}`.trim();
};
const signIn = async (login: string, password = PASSWORD, headers = {}, to = server) => {
  const { errors } = await to.query(SignInDocument, { login, password }, headers);
  return errors[0]?.extensions.code ?? 'ok';
};
const from = (address: string) => ({ 'x-forwarded-for': address });

describe('one account, however it is written', () => {
  test('upper and lower case, forms of Unicode and what nobody sees make no difference', async () => {
    const forms = [
      'Zoë@Example.com',
      'zoë@example.com',
      'ZOË@EXAMPLE.COM',
      'zoe\u0308@example.com',
      'z\u200Boë@example.com',
    ];
    expect(await signUp({ username: 'Zoe', email: forms[0] })).toBe('ok');
    for (const email of forms) expect(`${email} ${await signUp({ email })}`).toBe(`${email} CONFLICT email`);
    for (const username of ['zoe', 'ZOE']) expect(await signUp({ username })).toBe('CONFLICT username');
    for (const login of [...forms, 'zoe', 'ZOE', 'ｚｏｅ'])
      expect(`${login} ${await signIn(login)}`).toBe(`${login} ok`);
    expect(await signUp({ email: 'zoé@example.com' })).toBe('ok');
  });

  test('the rule is in an index, and both are used', async () => {
    const { primary } = server.databases;
    const same = await primary`
      select readback.fold('ΟΔΟΣ') = readback.fold('οδος') as greek, readback.fold('ǅ') = readback.fold('ǆ') as latin,
             readback.fold('a') = readback.fold('ä') as other`;
    expect(same).toEqual([{ greek: true, latin: true, other: false }]);
    const plan = await primary.begin(async (sql) => {
      await sql`set local enable_seqscan = off`;
      return sql`explain select id from users where readback.fold(username) = readback.fold('X') or readback.fold(email) = readback.fold('X')`;
    });
    expect(JSON.stringify(plan)).toMatch(/users_username_key.*users_email_key/);
  });

  test('wrong passwords count for the account, by whatever name it was called', async () => {
    const own = await startProtected({ SIGN_IN_FAILURES_MAX: 4 }, server.databases);
    onTestFinished(() => own.stop());
    const { username } = await addUser(server);
    const names = [username, `${username}@example.com`, username.toUpperCase(), `${username}@EXAMPLE.com`, username];
    const codes = [];
    for (const login of names) codes.push(await signIn(login, 'wrong horse', {}, own));
    expect(codes).toEqual([...Array(4).fill('UNAUTHENTICATED'), 'RATE_LIMITED']);
    for (let n = 0; n < 4; n++) await signIn('nobody-AT-all', 'wrong horse', {}, own);
    expect(await signIn('NOBODY-at-all', 'wrong horse', {}, own)).toBe('RATE_LIMITED');
  });

  test('pairs that are there already are named, and nothing is changed', { timeout: 60_000 }, async () => {
    const databases = await freshDatabases({ settle: false });
    onTestFinished(() => databases.drop());
    const before = sqlFolderWith({}, (path) => path !== 'primary/0020.do.accounts.sql');
    await setUp(databases.config, testConfig(), () => {}, before);
    const { primary } = databases;
    await primary`insert into users (username, email, password_hash, created_at) values
      ('Ada', 'Ada@Example.com', '-', '2026-01-01'), ('ada', 'ada@example.com', '-', now()), ('grace', 'grace@example.com', '-', now())`;
    const more = ['primary', 'replica'].flatMap((side) => [
      [`engine/${side}/0099.do.more.sql`, 'create table readback.more (id int);'],
      [`${side}/0019.do.more.sql`, 'create table more (id int);'],
    ]);
    const folder = sqlFolderWith(Object.fromEntries(more) as Record<string, string>);
    const migrate = () => setUp(databases.config, testConfig(), () => {}, folder);
    const refusal = await migrate().then(
      () => 'no error',
      (error: Error) => error.message,
    );
    expect(refusal).toMatch(
      /username 'Ada' \(id [-0-9a-f]+\), 'ada' \(id .*email 'Ada@Example.com' \(id .*Rename or delete/,
    );
    expect(refusal).not.toMatch(/grace/);
    const [left] = await primary`
      select to_regclass('more') as more, to_regclass('readback.more') as engine,
             (select max(version)::int from readback.migrations) as project`;
    expect(left).toEqual({ more: null, engine: null, project: 10 });
    await primary`update users set username = 'ada-2', email = 'ada-2@example.com' where username = 'ada'`;
    await migrate();
    await expect(
      primary`insert into users (username, email, password_hash) values ('ADA', 'x@example.com', '-')`,
    ).rejects.toMatchObject({ constraint_name: 'users_username_key' });
  });
});

describe('passwords', () => {
  test('whoever could sign up can sign in', async () => {
    const passwords = {
      'with a null character': 'abc\0defgh',
      'with a lone surrogate': 'abcdefgh\ud800',
      'of 65 letters with their selectors': 'é\uFE0F'.repeat(65),
      'of 128 astral characters': '😀'.repeat(128),
      'of 64 letters with their accents apart': 'e\u0301'.repeat(128),
      'of eight': '12345678',
    };
    const outcomes: Record<string, string> = {};
    for (const [what, password] of Object.entries(passwords)) {
      const up = await signUp({ password });
      outcomes[what] = up === 'ok' ? await signIn(`account-${serial}`, password) : up;
    }
    expect(outcomes).toEqual({
      'with a null character': 'BAD_USER_INPUT password',
      'with a lone surrogate': 'BAD_USER_INPUT password',
      'of 65 letters with their selectors': 'BAD_USER_INPUT password',
      'of 128 astral characters': 'ok',
      'of 64 letters with their accents apart': 'ok',
      'of eight': 'ok',
    });
  });

  test('those that were taken once are good still', async () => {
    for (const password of ['abc\0defgh', 'é\uFE0F'.repeat(65), 'cafe\u0301 cafe\u0301']) {
      const user = await addUser(server);
      await server.databases.primary`update users set password_hash = ${await hash(password)} where id = ${user.id}`;
      expect(await signIn(user.username, password)).toBe('ok');
      expect(await signIn(user.username, `${password}x`)).toBe('UNAUTHENTICATED');
    }
  });

  test('composed or not, it is one password', async () => {
    expect(await signUp({ password: 'café\u00A0au lait' })).toBe('ok');
    expect(await signIn(`account-${serial}`, 'cafe\u0301 au lait')).toBe('ok');
    expect(await signIn(`account-${serial}`, 'cafe au lait')).toBe('UNAUTHENTICATED');
  });

  test('a hash that is damaged is nobody’s, and costs the same', async () => {
    const damaged = [
      '$argon2id$v=19$m=19456,p=1,t=2$YM',
      '$argon2id$',
      '$argon2id$v=19$m=19456,p=1,t=2$YM+GwCbeVOk8BHKd6WecLQ$jyOA',
      '$argon2x$v=19$m=1,t=1,p=1$c2FsdA$aGFzaA',
      '$2b$10$x',
      '',
    ];
    const took = (login: string) =>
      processorMs(async () => expect(await signIn(login, 'wrong horse')).toBe('UNAUTHENTICATED'));
    const times: number[] = [];
    for (const password_hash of damaged) {
      const user = await addUser(server);
      await server.databases.primary`update users set password_hash = ${password_hash} where id = ${user.id}`;
      times.push(Math.min(await took(user.username), await took(user.username), await took(user.username)));
    }
    const whole = await addUser(server);
    const usual = Math.min(await took(whole.username), await took(whole.username), await took(whole.username));
    expect(Math.min(...times)).toBeGreaterThan(usual / 5);
  });
});

describe('guessing', () => {
  test('addresses of one /64 count together, those of another apart', async () => {
    const own = await startProtected({ SIGN_IN_FAILURES_MAX: 3, TRUST_PROXY: ['127.0.0.1'] }, server.databases);
    onTestFinished(() => own.stop());
    const { username } = await addUser(server);
    const codes = [];
    for (let n = 1; n <= 4; n++)
      codes.push(await signIn(username, 'wrong horse', from(`2001:db8:0:1:${n}::${n}`), own));
    expect(codes).toEqual([...Array(3).fill('UNAUTHENTICATED'), 'RATE_LIMITED']);
    expect(await signIn(username, PASSWORD, from('2001:db8:0:2::1'), own)).toBe('ok');
  });

  test('requests, sockets and subscriptions are counted so, too', async () => {
    const limits = { REQUESTS_PER_SECOND_MAX: 5, SOCKETS_PER_ADDRESS_MAX: 2, TRUST_PROXY: ['127.0.0.1'] };
    const own = await startProtected(limits, server.databases);
    onTestFinished(() => own.stop());
    const ask = (n: number) => own.query('{ __typename }', {}, from(`2001:db8:1:1::${n}`));
    const statuses = (await Promise.all(Array.from({ length: 20 }, (_, n) => ask(n + 1)))).map(({ status }) => status);
    expect(statuses.filter((status) => status === 429).length).toBeGreaterThanOrEqual(10);
  });

  test(
    'past the limit of an address a right password still gets in, and at once where it has before',
    { timeout: 60_000 },
    async () => {
      const settings = { SIGN_IN_FAILURES_PER_ADDRESS_MAX: 5, TRUST_PROXY: ['127.0.0.1'] };
      const own = await startProtected(settings, server.databases);
      onTestFinished(() => own.stop());
      const [known, stranger] = [await addUser(server), await addUser(server)];
      const here = from('192.0.2.9');
      expect(await signIn(known.username, PASSWORD, here, own)).toBe('ok');
      const guesses = await Promise.all(Array.from({ length: 12 }, (_, n) => signIn(`guess-${n}`, 'x', here, own)));
      expect(guesses.filter((code) => code === 'UNAUTHENTICATED').length).toBeLessThanOrEqual(7);
      expect(guesses).toContain('RATE_LIMITED');
      expect(await signIn(known.username, PASSWORD, here, own)).toBe('ok');
      await expect.poll(() => signIn(stranger.username, PASSWORD, here, own), { timeout: 20_000 }).toBe('ok');
    },
  );

  test('who asks whether somebody is registered is slowed down, by sign-up and by renaming', async () => {
    const own = await startProtected({ SIGN_UPS_PER_ADDRESS_MAX: 3, TRUST_PROXY: ['127.0.0.1'] }, server.databases);
    onTestFinished(() => own.stop());
    const taken = await addUser(server);
    const ask = (n: number) => signUp({ email: `${taken.username}@example.com` }, from(`2001:db8:2:2::${n}`), own);
    const codes = [];
    for (let n = 1; n <= 4; n++) codes.push(await ask(n));
    expect(codes).toEqual([...Array(3).fill('CONFLICT email'), 'RATE_LIMITED']);
    expect(await signUp({}, from('192.0.2.77'), own)).toBe('ok');

    const user = await person(own);
    const rename = async (username: string) => {
      const { errors } = await own.query(
        `mutation { updateUser(id: "${user.id}", input: { username: "${username}" }) { bookmark } }`,
        {},
        { ...user.headers, ...from('192.0.2.78') },
      );
      return errors[0]?.extensions.code ?? 'ok';
    };
    for (let n = 0; n < 5; n++) expect(await rename(`${user.username}-${n}`)).toBe('ok');
    const answers = [];
    for (let n = 0; n < 4; n++) answers.push(await rename(taken.username));
    expect(answers).toEqual([...Array(3).fill('CONFLICT'), 'RATE_LIMITED']);
  });
});

test('no password of a role or a subscription stands in PostgreSQL’s log', { timeout: 60_000 }, async () => {
  const { servers, dir } = inject('cluster');
  const names = ['primary', 'replica-1'];
  const starts = names.map((name) => statSync(join(dir, `${name}.log`)).size);
  const databases = await freshDatabases({ settle: false });
  const login = `${databases.name}_login`;
  const password = `pa'ss\\wörd-${databases.name}`;
  const withLogin = (text: string) => {
    const url = new URL(text);
    [url.username, url.password] = [login, encodeURIComponent(password)];
    return url.href;
  };
  onTestFinished(async () => {
    await databases.drop();
    for (const name of names) {
      const sql = postgres(servers[name]!.adminUrl, { max: 1 });
      await sql.unsafe(`drop role if exists ${login}`);
      await sql.end();
    }
  });
  const { primary, replicas } = databases.config;
  const config = {
    ...databases.config,
    primary: { ...primary, url: withLogin(primary.url) },
    replicas: [{ ...replicas[0]!, url: withLogin(replicas[0]!.url) }],
  };
  // Fails in the statement that has the conninfo; then it goes well.
  await expect(
    setUp({ ...config, replicationUrl: primary.adminUrl.replace(/:\d+\//, ':1/') }, testConfig(), () => {}),
  ).rejects.toThrow(/cannot subscribe/);
  await setUp(config, testConfig(), () => {});
  for (const url of [config.primary.url, config.replicas[0]!.url]) {
    const sql = postgres(url, { max: 1 });
    expect(await sql`select current_user::text as name`).toEqual([{ name: login }]);
    await sql.end();
  }
  const [{ conninfo }] = (await databases.replicas[0]!`
    select subconninfo as conninfo from pg_subscription where subdbid = (select oid from pg_database where datname = current_database())`) as any;
  const secrets = [password, /password='([^']+)'/.exec(conninfo)![1]!, new URL(primary.adminUrl).password];
  const logs = names.map((name, index) =>
    readFileSync(join(dir, `${name}.log`))
      .subarray(starts[index])
      .toString(),
  );
  for (const secret of secrets) expect(logs.map((log) => log.includes(secret))).toEqual([false, false]);
  expect(logs.map((log) => /create role .* password 'SCRAM-SHA-256/.test(log))).toEqual([true, true]);
});
