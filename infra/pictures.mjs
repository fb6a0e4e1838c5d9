/**
 * Draws the pictures of the README again: starts Readback on an embedded pair of its own, lets some life into it, and has
 * Chromium take the console's picture on a wide screen, light and dark, and on a phone.
 */
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { chromium } from 'playwright-core';
import { CHROMIUM_FLAGS, findProgram, PROGRAMS } from './programs.ts';
import { root } from './launch/child.mjs';

const MOST_BYTES = 200_000;
const folder = join(root, 'docs');

const PICTURES = [
  { name: 'console-light', viewport: { width: 1400, height: 1080 }, colorScheme: 'light' },
  { name: 'console-dark', viewport: { width: 1400, height: 1080 }, colorScheme: 'dark' },
  {
    name: 'console-phone',
    viewport: { width: 390, height: 1240 },
    colorScheme: 'light',
    deviceScaleFactor: 1.5,
    isMobile: true,
  },
];

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Resolves with the address once it serves. */
async function startReadback(dir) {
  const [PORT, EMBEDDED_PRIMARY_PORT, EMBEDDED_REPLICA_PORT] = await Promise.all([freePort(), freePort(), freePort()]);
  const env = { ...process.env, PORT, EMBEDDED_PRIMARY_PORT, EMBEDDED_REPLICA_PORT, READBACK_DIR: dir };
  const child = spawn(process.execPath, [join(root, 'infra/launch.mjs'), 'up'], {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  const stop = async () => {
    child.kill('SIGTERM');
    await ended;
  };
  await Promise.race([
    readyLine(child),
    ended.then(() => Promise.reject(new Error('Readback ended before it was ready'))),
  ]);
  return { url: `http://127.0.0.1:${PORT}`, stop };
}

function readyLine({ stdout }) {
  return new Promise((resolve) => stdout.on('data', (chunk) => String(chunk).includes('is ready') && resolve()));
}

/** Some writes of others, spread over time, so that feed and charts have something to show. */
async function live(url, count) {
  for (let n = 0; n < count; n++) {
    await write(url, n).catch(() => undefined);
    await sleep(700);
  }
}

const NAMES = [
  'Donald Knuth',
  'Leslie Lamport',
  'Shafi Goldwasser',
  'Michael Stonebraker',
  'Jeannette Wing',
  'Edgar Codd',
];

async function write(url, n) {
  const [firstName, lastName] = NAMES[n % NAMES.length].split(' ');
  const username = `${firstName.toLowerCase()}-${Date.now().toString(36).slice(-4)}`;
  const input = { username, email: `${username}@example.com`, password: crypto.randomUUID(), firstName, lastName };
  const { createUser } = await ask(
    url,
    'mutation($input: CreateUserInput!) { createUser(input: $input) { user { id } } }',
    { input },
  );
  if (n % 3 !== 1) return;
  const { id } = createUser.user;
  await ask(url, 'mutation($id: ID!) { updateUser(id: $id, input: { emailVerified: true }) { bookmark } }', { id });
}

async function ask(url, query, variables) {
  const body = JSON.stringify({ query, variables });
  const response = await fetch(`${url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body,
  });
  return (await response.json()).data;
}

async function draw(browser, url, { name, ...options }) {
  const page = await browser.newPage({ ...options, reducedMotion: 'reduce' });
  await page.goto(url);
  await page.waitForSelector('.pill[data-connection=open]');
  await live(url, 30);
  const username = `radia-${Date.now().toString(36).slice(-4)}`;
  await page.fill('[name=username]', username);
  await page.fill('[name=email]', `${username}@example.com`);
  await page.fill('[name=password]', crypto.randomUUID());
  await page.click('button:has-text("Create User")');
  await page.waitForSelector('.stations li[data-step="Event received"][data-waiting=false]');
  await sleep(1200);
  await page.evaluate('scrollTo(0, 0)');
  const path = join(folder, `${name}.png`);
  await page.screenshot({ path });
  await page.close();
  return path;
}

mkdirSync(folder, { recursive: true });
const dir = mkdtempSync(join(tmpdir(), 'readback-pictures-'));
const executablePath = findProgram('chromium');
if (!executablePath) throw new Error(`Chromium is missing: ${PROGRAMS.chromium.remedy}.`);
const readback = await startReadback(dir);
const browser = await chromium.launch({ executablePath, args: CHROMIUM_FLAGS });
try {
  for (const picture of PICTURES) {
    const path = await draw(browser, readback.url, picture);
    const { size } = statSync(path);
    console.log(`${path}  ${Math.ceil(size / 1000)} KB`);
    if (size > MOST_BYTES) throw new Error(`${path} is larger than ${MOST_BYTES} bytes`);
  }
} finally {
  await browser.close();
  await readback.stop();
  rmSync(dir, { recursive: true, force: true });
}
