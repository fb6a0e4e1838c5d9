#!/usr/bin/env node
/**
 * What `readback` and every npm script go through, on any Node from 18 on: installs and builds what is missing or out
 * of date, then runs under the Node 24 that is among the packages.
 *
 *   launch.mjs COMMAND ARGS…     Readback
 *   launch.mjs --dev COMMAND…    Readback, built and started again when a source changes
 *   launch.mjs --bin NAME ARGS…  a program of a package; `node` is Node 24
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { complain, listen, modules, node24, root, serverFlags, start, stopCode } from './launch/child.mjs';
import { buildChanged, installMissing, sources } from './launch/prepare.mjs';

/** The channel is how the server notices that this process was killed. */
function serve(args) {
  return start(node24, [...serverFlags, join(root, 'dist/readback/main.js'), ...args], {
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
  });
}

async function run(args) {
  return (await buildChanged()) || serve(args).exit;
}

async function runBin([name = '', ...args]) {
  // Programs are compiled once, and so is what vitest's processes import of packages: a second of each of them.
  process.env.NODE_COMPILE_CACHE ??= join(modules, '.cache/compiled');
  if (name === 'node') return start(node24, args).exit;
  const file = join(modules, '.bin', name);
  if (name === '' || !existsSync(file))
    return complain(127, `No package has a program named "${name}": see package.json.`);
  return start(file, args).exit;
}

/** A change that does not compile leaves the running server as it is. */
async function develop(args) {
  for (let server; ;) {
    const tried = sources();
    if ((await buildChanged()) === 0) {
      await replaced(server);
      if (stopCode() === undefined) server = announced(serve(args));
    }
    await changed(tried);
    if (stopCode() !== undefined) return server?.exit ?? stopCode();
  }
}

async function replaced(server) {
  if (!server) return;
  server.isReplaced = true;
  server.child.kill('SIGTERM');
  await server.exit;
}

function announced(server) {
  void server.exit.then((code) => {
    if (server.isReplaced || stopCode() !== undefined) return;
    console.error(`The server ended with code ${code}; a changed source starts it again.`);
  });
  return server;
}

/** Polls, as fs.watch knows folders in folders only in later versions of Node; waits until an editor has finished. */
async function changed(tried) {
  for (let last = tried; stopCode() === undefined;) {
    await sleep(300);
    const now = sources();
    if (now !== tried && now === last) return;
    last = now;
  }
}

async function main([first, ...rest]) {
  const code = await installMissing();
  if (code !== 0) return code;
  if (first === '--bin') return runBin(rest);
  return first === '--dev' ? develop(rest) : run(first === undefined ? [] : [first, ...rest]);
}

listen();
process.exitCode = await main(process.argv.slice(2));
