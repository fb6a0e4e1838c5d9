import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import axe from 'axe-core';
import { chromium, type Browser, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { CreateUserDocument } from '../../schema/generated/operations.ts';
import { projectRoot } from '../../server/lib/root.ts';
import { freshDatabases, type TestDatabases } from '../../server/test/support/databases.ts';
import { disableSubscription, holdApply } from '../../server/test/support/faults.ts';
import { addUser, PASSWORD, startProtected } from '../../server/test/support/people.ts';
import { serve } from '../../server/test/support/project-copy.ts';
import { startServer, type TestServer } from '../../server/test/support/server.ts';
import { buildChanged } from '../launch/prepare.mjs';
import { CHROMIUM_FLAGS, findProgram } from '../programs.ts';
import { workshop } from './support/workshop.ts';

const pages = join(projectRoot, 'dist/pages');

let databases: TestDatabases;
let server: TestServer;

beforeAll(async () => {
  expect(await buildChanged()).toBe(0);
  databases = await freshDatabases({ replicas: 2 });
  server = await startServer({ MONITOR_INTERVAL_MS: 100 }, databases);
}, 120_000);
afterAll(async () => {
  await server.stop();
  await databases.drop();
});

describe('what the server sends', () => {
  test('all that the console needs is under 150 KB, compressed', () => {
    const folder = join(pages, 'console');
    const files = readdirSync(folder).filter((name) => name.endsWith('.gz'));
    expect(files.length).toBeGreaterThanOrEqual(4);
    const total = files.reduce((sum, name) => sum + readFileSync(join(folder, name)).length, 0);
    expect(total).toBeLessThan(150_000);
  });

  test('the page is asked for again each time, under a strict policy; its files are kept for good', async () => {
    const page = await fetch(server.url, { headers: { 'accept-encoding': 'gzip' } });
    const policy = page.headers.get('content-security-policy')!;
    expect(policy).toContain("default-src 'none'; script-src 'self'; style-src 'self'");
    expect(policy).toContain("connect-src 'self'");
    expect(policy).not.toContain('unsafe');
    expect(Object.fromEntries(page.headers)).toMatchObject({
      'cache-control': 'no-cache',
      'content-encoding': 'gzip',
      'x-content-type-options': 'nosniff',
      vary: 'Origin, accept-encoding',
    });
    const html = await page.text();
    expect(html).not.toMatch(/<script(?! type="module" src="\/)|<style|style=/);
    const tag = page.headers.get('etag')!;
    expect((await fetch(server.url, { headers: { 'accept-encoding': 'gzip', 'if-none-match': tag } })).status).toBe(
      304,
    );
    for (const [, file] of html.matchAll(/(?:src|href)="(\/console\/[^"]+)"/g)) {
      const { status, headers } = await fetch(server.url + file);
      expect(status).toBe(200);
      expect(headers.get('cache-control')).toBe('public, max-age=31536000, immutable');
    }
  });

  test('there is nothing else under the pages', async () => {
    const paths = ['none.js', '..%2f..%2fpackage.json', 'index.html.gz', 'index.html', ''].flatMap((file) => [
      `/console/${file}`,
      `/explore/${file}`,
    ]);
    const statuses = await Promise.all(paths.map(async (path) => [path, (await fetch(server.url + path)).status]));
    expect(statuses).toEqual(paths.map((path) => [path, 404]));
  });

  test('Sandbox has a first operation, headers and both addresses, and the way to the explorer without internet', async () => {
    const html = await (await fetch(`${server.url}/graphql`, { headers: { accept: 'text/html' } })).text();
    const settings = JSON.parse(/\.\.\.(\{.*\}),/.exec(html)![1]!) as {
      initialState: { document: string; headers: object };
    };
    const { errors } = await server.query(settings.initialState.document, {}, { ...settings.initialState.headers });
    expect(errors).toEqual([]);
    expect(html).toContain('initialEndpoint: here');
    expect(html).toContain('initialSubscriptionEndpoint: here.replace(/^http/');
    expect(html).toContain('href="/explore"');
  });
});

/** Without one, what the server sends is tested all the same. */
describe('in a browser', { tags: ['chromium'] }, () => {
  let browser: Browser;
  let page: Page;
  const problems: string[] = [];
  const foreign: string[] = [];

  beforeAll(async () => {
    browser = await chromium.launch({ executablePath: findProgram('chromium')!, args: CHROMIUM_FLAGS });
    page = await open('/');
  });
  afterAll(() => browser.close());

  async function open(path: string, options: Parameters<Browser['newPage']>[0] = {}, at = server.url): Promise<Page> {
    const opened = await browser.newPage({
      viewport: { width: 1400, height: 1000 },
      reducedMotion: 'reduce', // what moves is drawn without a graphics card, for as long as the page is open
      ...options,
    });
    opened.on('pageerror', (error) => problems.push(error.message));
    opened.on('console', (message) => {
      if (/Content Security Policy/.test(message.text())) problems.push(message.text());
    });
    opened.on('request', (request) => {
      const { protocol, host } = new URL(request.url());
      if (/^(https?|wss?):$/.test(protocol) && host !== new URL(at).host) foreign.push(request.url());
    });
    await opened.goto(at + path);
    return opened;
  }

  const rowOf = (username: string) => page.locator('.row', { hasText: username }).first();
  const isConnected = (state: string) => page.waitForSelector(`.pill[data-connection=${state}]`);
  const insert = (name: string, count: number) => databases.primary`
    insert into users (username, email, password_hash)
    select ${name} || '-' || n, ${name} || '-' || n || '@example.com', '-' from generate_series(1, ${count}::int) n`;

  let people = 0;

  async function createUser(on = page): Promise<string> {
    const username = `somebody-${++people}`;
    await on.fill('[name=username]', username);
    await on.fill('[name=email]', `${username}@example.com`);
    await on.fill('[name=password]', PASSWORD);
    await on.click('button:has-text("Create User")');
    return username;
  }

  /** Nobody is served worse than "moderate" calls it. */
  async function expectAccessible(tested: Page): Promise<void> {
    await tested.evaluate(axe.source);
    const { passes, violations } = (await tested.evaluate('axe.run()')) as {
      passes: object[];
      violations: { id: string; impact: string; nodes: { html: string }[] }[];
    };
    expect(passes.length).toBeGreaterThan(20);
    const serious = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
    expect(serious.map(({ id, nodes }) => `${id}: ${nodes[0]!.html}`)).toEqual([]);
  }

  test('a write is seen when it is sent, committed, applied on each replica and received', async () => {
    await isConnected('open');
    await page.waitForSelector('svg.servers');
    const username = await createUser();
    await page.waitForSelector('.stations li[data-step="Event received"][data-waiting=false]');
    await expect.poll(() => page.locator('.stations [data-waiting=true]').count()).toBe(0);
    const stations = await page.locator('.stations li').allInnerTexts();
    expect(stations.map((text) => text.replace(/\s+/g, ' ').trim())).toEqual([
      expect.stringMatching(/^Sent this browser 0 ms$/),
      expect.stringMatching(/^Committed primary \+[\d.]+ m?s$/),
      expect.stringMatching(/^Applied Replica 1 \+[\d.]+ m?s$/),
      expect.stringMatching(/^Applied Replica 2 \+[\d.]+ m?s$/),
      expect.stringMatching(/^Event received this browser \+[\d.]+ m?s$/),
    ]);
    await expect.poll(() => rowOf(username).innerText()).toContain('Insert');
  });

  test('an edit shows what was and what is; the filter finds it', async () => {
    const username = await createUser();
    await rowOf(username).getByRole('button').click();
    await page.fill('[name=firstName]', 'Augusta');
    await page.click('button:has-text("Save")');
    const update = page.locator('.row[data-operation=UPDATE]').first();
    await update.waitFor();
    expect(await update.locator('del').allInnerTexts()).toHaveLength(1);
    expect(await update.locator('ins').innerText()).toContain('Augusta');
    await update.locator('summary').click();
    // What is folded out is drawn at an event that comes after the click.
    await expect.poll(() => update.locator('tr.is-changed th').allInnerTexts()).toEqual(['firstName', 'updatedAt']);
    await page.fill('.feed-panel .filters input', 'augusta');
    await expect.poll(() => page.locator('.row').count()).toBe(1);
    await page.fill('.feed-panel .filters input', '');
    await page.click('button:has-text("Create instead")');
  });

  test('what the server refuses is said at the field', async () => {
    await page.fill('[name=username]', 'no spaces here');
    await page.fill('[name=email]', 'somebody@example.com');
    await page.fill('[name=password]', PASSWORD);
    await page.click('button:has-text("Create User")');
    await expect.poll(() => page.locator('#field-username-fault').innerText()).toContain('username');
    expect(await page.getAttribute('[name=username]', 'aria-describedby')).toBe('field-username-fault');
    await page.reload();
    await isConnected('open');
  });

  test('rows are filtered and ordered as the table offers, read from a replica', async () => {
    await insert('filtered', 3);
    await expect.poll(() => databases.replicas[0]!`select from users where username = 'filtered-3'`).toHaveLength(1);
    const names = () => page.locator('.grid tbody tr td:nth-child(2)').allInnerTexts();
    await page.selectOption('[name=order]', 'ASC USERNAME');
    await page.fill('[name=filter-search]', 'filtered');
    await page.press('[name=filter-search]', 'Enter');
    await expect.poll(names).toEqual(['filtered-1', 'filtered-2', 'filtered-3']);
    await page.selectOption('[name=order]', 'DESC USERNAME');
    await expect.poll(names).toEqual(['filtered-3', 'filtered-2', 'filtered-1']);
    expect(await page.locator('.pager p').innerText()).toMatch(/^3 rows of 3, read from Replica \d in [\d.]+ m?s$/);
    await page.selectOption('[name=filter-isActive]', 'false');
    await page.waitForSelector('.rows-view .empty');
    await page.click('.table-list a:text-is("posts")');
    await expect.poll(() => page.url()).toMatch(/#posts$/);
    await page.click('.table-list a:text-is("users")');
    expect(await page.inputValue('[name=filter-search]')).toBe('');
  });

  test('a replica that stops applying is shown within three seconds, and its lag grows', async () => {
    const release = await holdApply(databases.replicas[0]!);
    const box = page.locator('[data-server="Replica 1"]');
    await createUser();
    await page.waitForSelector('.stations li[data-step=Committed][data-waiting=false]');
    await page.waitForSelector('[data-server="Replica 1"][data-health=late]', { state: 'attached', timeout: 3000 });
    const lag = async () => Number(/Behind by ([\d.]+) s/.exec((await box.textContent())!)?.[1] ?? 0);
    const first = await lag();
    await expect.poll(lag, { timeout: 5000 }).toBeGreaterThan(first);
    expect(await page.locator('.summary').innerText()).toContain('Replica 1 – behind by');
    await release();
    await page.waitForSelector('[data-server="Replica 1"][data-health=well]', { state: 'attached' });
    const enable = await disableSubscription(databases.replicas[1]!);
    await page.waitForSelector('[data-server="Replica 2"][data-health=stopped]', { state: 'attached', timeout: 3000 });
    await enable();
    await page.waitForSelector('[data-server="Replica 2"][data-health=well]', { state: 'attached' });
  });

  test('a pause holds the place: what happened meanwhile comes after it, counted', async () => {
    await page.click('button:has-text("Pause")');
    const before = await page.locator('.row').count();
    await insert('paused', 3);
    await server.query(CreateUserDocument, {
      input: { username: 'paused-last', email: 'paused-last@example.com', password: 'correct horse' },
      confirm: 'REPLICATED',
    });
    for (const replica of databases.replicas)
      await expect.poll(() => replica`select from users where username = 'paused-last'`).toHaveLength(1);
    expect(await page.locator('.row').count()).toBe(before);
    await page.click('button:has-text("Resume")');
    await page.waitForSelector('text=Caught up without a gap: 4 changes while paused.');
    expect(
      await page
        .locator('.row-name')
        .allInnerTexts()
        .then((names) => names.slice(0, 4)),
    ).toEqual(['paused-last', 'paused-3', 'paused-2', 'paused-1']);
  });

  test('the server goes and comes back: it is said, and the feed goes on without a gap', async () => {
    const { port } = new URL(server.url);
    await server.stop();
    await isConnected('lost');
    expect(await page.locator('.notice').innerText()).toContain('Connection lost');
    await insert('away', 5);
    server = await startServer({ MONITOR_INTERVAL_MS: 100, PORT: Number(port) }, databases);
    await isConnected('open');
    await page.waitForSelector('text=Caught up without a gap: 5 changes while the connection was lost.');
    expect(
      await page
        .locator('.row-name')
        .allInnerTexts()
        .then((names) => names.slice(0, 5)),
    ).toEqual([5, 4, 3, 2, 1].map((n) => `away-${n}`));
    const username = await createUser();
    await rowOf(username).waitFor();
  });

  describe('at all sizes, in light and dark: nothing serious for axe, nothing cut off', () => {
    let tested: Page;
    beforeAll(async () => {
      tested = await open('/');
      await tested.waitForSelector('svg.servers');
      await createUser(tested);
      await tested.waitForSelector('.row');
      await tested.click('.row summary');
    });
    afterAll(() => tested.close());

    for (const width of [360, 900, 1600])
      for (const colorScheme of ['light', 'dark'] as const)
        test(`${width} pixels, ${colorScheme}`, async () => {
          await tested.emulateMedia({ colorScheme });
          await tested.setViewportSize({ width, height: 900 });
          await expectAccessible(tested);
          expect(await tested.evaluate('document.documentElement.scrollWidth')).toBe(width);
        });
  });

  test('in protected mode one signs in, and then sees the servers, writes, and hears of it', async () => {
    const own = await startProtected({ MONITOR_INTERVAL_MS: 100 }, databases);
    const administrator = await addUser(own, true);
    const tested = await open('/', {}, own.url);
    // What is asked without a token is refused after who asked has signed in.
    const late: (() => Promise<void>)[] = [];
    let isLate = true;
    await tested.route('**/graphql', (route) => {
      if (!isLate || route.request().postData()?.includes('SignIn')) return route.continue();
      return new Promise<void>((resolve) => late.push(() => route.continue().then(resolve)));
    });
    await tested.reload();
    await tested.fill('input[name=login]', administrator.username);
    await tested.fill('.sign-in input[name=password]', PASSWORD);
    await expectAccessible(tested);
    await expect.poll(() => late.length).toBeGreaterThan(0);
    expect(await tested.locator('.table-list').count()).toBe(0);
    await tested.click('button:has-text("Sign in")');
    await tested.locator('.sign-in').waitFor({ state: 'detached' });
    isLate = false;
    const refused = tested.waitForResponse(async (response) => (await response.text()).includes('UNAUTHENTICATED'));
    await Promise.all([refused, ...late.map((answer) => answer())]);
    await tested.waitForSelector('svg.servers');
    // The feed comes back by itself, after a pause of its own.
    let heard = 0;
    await expect
      .poll(async () => (await insert(`heard-${++heard}`, 1), tested.locator('.row').count()))
      .toBeGreaterThan(0);
    const username = await createUser(tested);
    await tested.locator('.row', { hasText: username }).waitFor();
    expect(await tested.locator('.sign-in').count()).toBe(0);
    await tested.close();
    await own.stop();
  });

  test('the explorer runs a query, a mutation and a subscription, with everything from this server', async () => {
    const explorer = await open('/explore');
    const run = async (operation: string) => {
      await explorer.click('.graphiql-execute-button');
      await explorer.click(`[role=menuitem]:has-text("${operation}")`);
    };
    const shows = (text: string) =>
      expect.poll(() => explorer.locator('.graphiql-response').innerText(), { timeout: 10_000 }).toContain(text);
    await explorer.waitForSelector('.graphiql-editor .view-line');
    await run('Rows');
    await shows('totalCount');
    // Its values are of their types: whether the table takes them is the table's to say.
    await run('Create');
    await shows('BAD_USER_INPUT');
    await run('Changes');
    await shows('cursor');
    await insert('explored', 1);
    await shows('INSERT');
    await explorer.click('[aria-label="Show History"]');
    await explorer.waitForSelector('.graphiql-history-item');
    await explorer.click('[aria-label="Show Documentation Explorer"]');
    await explorer.waitForSelector('.graphiql-doc-explorer');
    await explorer.close();
  });

  test('any table is listed, paged, written and told of', { timeout: 300_000 }, async () => {
    const { root, databases: own } = await workshop();
    onTestFinished(() => own.drop());
    const at = new URL((await serve(root, own)).url).origin;
    const tested = await open('/', {}, at);
    const labels = () => tested.locator('.grid tbody tr td:nth-child(2)').allInnerTexts();
    const way = () => tested.locator('.way-view').innerText();

    // Found by the keyboard alone, and named in the address.
    await tested.focus('.table-list input');
    await tested.keyboard.type('tool');
    await tested.keyboard.press('Tab');
    await tested.keyboard.press('Enter');
    await expect.poll(() => tested.url()).toBe(`${at}/#tools`);
    await tested.fill('.table-list input', '');
    expect(await tested.locator('.table-list a').count()).toBe(10);

    // Pages, forwards and back.
    const numbers = (from: number, to: number) =>
      Array.from({ length: to - from + 1 }, (_, n) => `tool ${String(from + n).padStart(2, '0')}`);
    await expect.poll(labels).toEqual(numbers(1, 20));
    await expect.poll(() => tested.locator('.pager p').innerText()).toContain('20 rows of 45, read from Replica 1');
    await tested.click('button:has-text("Next")');
    await expect.poll(labels).toEqual(numbers(21, 40));
    await tested.click('button:has-text("Next")');
    await expect.poll(labels).toEqual(numbers(41, 45));
    expect(await tested.isDisabled('button:has-text("Next")')).toBe(true);
    await tested.click('button:has-text("Previous")');
    await expect.poll(labels).toEqual(numbers(21, 40));
    await tested.selectOption('[name=order]', 'DESC ID');
    await expect.poll(labels).toEqual(numbers(26, 45).toReversed());

    // Values of every kind, and the row that another one names.
    const first = tested.locator('.grid tbody tr', { hasText: 'tool 45' });
    const cells = await first.locator('td').allInnerTexts();
    expect(cells.slice(0, 8)).toEqual([
      '45',
      'tool 45',
      'null',
      '{"n":9007199254740993}',
      '7',
      'false',
      'AP8=',
      '["a",null]',
    ]);
    expect(await first.locator('[data-kind=null]').count()).toBe(1);
    expect((await first.locator('td').nth(8).locator('.value').getAttribute('title'))!.length).toBe(2001);
    await first.locator('a').click();
    await expect.poll(() => decodeURIComponent(tested.url())).toBe(`${at}/#shelves/A/1`);
    await expect.poll(() => tested.locator('.grid tbody tr').count()).toBe(1);
    expect(await tested.inputValue('[name=key]')).toBe('A/1');
    await tested.goto(`${at}/#tools/7`);
    await expect.poll(labels).toEqual(['tool 07']);
    await tested.fill('[name=key]', '');
    await tested.press('[name=key]', 'Enter');

    // What is no JSON is said at its field, and nothing is sent.
    await tested.fill('.entries [name=label]', 'made');
    await tested.selectOption('.entries [name=mood]', { label: 'GLAD' });
    await tested.selectOption('[aria-label="How weight is filled in"]', 'null');
    await tested.fill('.entries [name=doc]', '{"n":');
    await tested.click('button:has-text("Create Tool")');
    expect(await tested.locator('#field-doc-fault').innerText()).toContain('This is no JSON');
    expect(await way()).toContain('Create, change or delete a row');
    await tested.fill('.entries [name=doc]', '{"n": 9007199254740995}');
    await tested.click('button:has-text("Create Tool")');
    await tested.waitForSelector('.stations li[data-step="Event received"][data-waiting=false]');
    await expect.poll(way).toMatch(/^Created made · tools\s.*Committed primary.*Applied Replica 1.*Event received/s);
    const made = () =>
      own.primary`select label, mood, weight, doc::text, is_ready, words from tools where id > 45`.then(([row]) => row);
    expect(await made()).toEqual({
      label: 'made',
      mood: 'glad',
      weight: null,
      doc: '{"n": 9007199254740995}',
      is_ready: false,
      words: null,
    });
    const told = tested.locator('.row[data-operation=INSERT]', { hasText: 'made' });
    expect(await told.innerText()).toMatch(/made\s+tools\s.*mood\s+now\s+GLAD/s);

    // What the server refuses is said at its field.
    await tested.fill('.entries [name=label]', 'made');
    await tested.click('button:has-text("Create Tool")');
    await expect.poll(() => tested.locator('#field-label-fault').innerText()).toContain('label');

    // Changed, then deleted, by the keyboard alone.
    await told.getByRole('button', { name: 'Edit made' }).press('Enter');
    await tested.selectOption('.entries [name=mood]', 'null');
    await tested.selectOption('.entries [name=isReady]', { label: 'true' });
    await tested.press('button:has-text("Save")', 'Enter');
    await expect.poll(way).toContain('Changed made · tools');
    await tested.waitForSelector('.stations li[data-step="Event received"][data-waiting=false]');
    expect(await made()).toMatchObject({ mood: null, is_ready: true, doc: '{"n": 9007199254740995}' });
    await tested.press('button:has-text("Delete")', 'Enter');
    await tested.keyboard.press('Enter');
    await expect.poll(way).toContain('Deleted made · tools');
    expect(await made()).toBe(undefined);

    // A tab that comes back has the latest changes, and those that it missed.
    const kept = () => tested.evaluate(() => sessionStorage.getItem('readback-feed'));
    await expect.poll(kept).toContain('"operation":"DELETE"');
    await tested.goto(`${at}/health`);
    await own.primary`insert into tools (label) values ('missed')`;
    await tested.goto(`${at}/#tools`);
    const names = () => tested.locator('.row-name').allInnerTexts();
    await expect.poll(async () => (await names()).slice(0, 2)).toEqual(['missed', 'made']);
    await expect
      .poll(() => tested.locator('.notice').innerText())
      .toMatch(/^Caught up without a gap: .* while the page was away\.$/);

    for (const width of [360, 1400]) {
      await tested.setViewportSize({ width, height: 900 });
      await expectAccessible(tested);
      expect(await tested.evaluate('document.documentElement.scrollWidth')).toBe(width);
    }

    const explorer = await open('/explore', {}, at);
    await explorer.waitForSelector('.graphiql-editor .view-line');
    expect(await explorer.locator('.graphiql-editor').first().innerText()).toMatch(/boxesA/);

    // Nobody can sign in here: nobody is asked to.
    const closed = await open('/', {}, new URL((await serve(root, own, 'protected')).url).origin);
    await closed.waitForSelector('text=This project has no accounts to sign in with.');
    expect(await closed.locator('.sign-in').count()).toBe(0);
    expect(await closed.locator('.tables-panel').innerText()).toContain('to administrators only');
    for (const each of [tested, explorer, closed]) await each.close();
  });

  test('no page asked another host for anything, broke, or went against its policy', () => {
    expect(foreign).toEqual([]);
    expect(problems).toEqual([]);
    expect(existsSync(join(pages, 'explore/index.html'))).toBe(true);
  });
});
