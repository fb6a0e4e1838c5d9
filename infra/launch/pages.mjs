/**
 * Bundles what browsers get into dist/pages: one folder for each page, its files named by what is in them and compressed
 * beside themselves. The explorer, which is large, is made again only when something of it has changed.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { root } from './child.mjs';

const sources = join(root, 'server/console');
const pages = join(root, 'dist/pages');

const common = {
  absWorkingDir: root,
  bundle: true,
  minify: true,
  metafile: true,
  target: ['es2023', 'chrome116', 'firefox115', 'safari16.4'],
  legalComments: 'none',
  entryNames: '[name]-[hash]',
  chunkNames: '[name]-[hash]',
  assetNames: '[name]-[hash]',
  logLevel: 'error',
};

/** Into a folder beside the one in use, which is replaced when all is there. */
async function bundlePage(name, quality, work) {
  const made = join(pages, `.${name}`);
  rmSync(made, { recursive: true, force: true });
  mkdirSync(made, { recursive: true });
  await work(made);
  for (const file of readdirSync(made)) compress(join(made, file), quality);
  rmSync(join(pages, name), { recursive: true, force: true });
  renameSync(made, join(pages, name));
}

function compress(file, quality) {
  if (/\.(png|woff2)$/.test(file)) return;
  const bytes = readFileSync(file);
  const params = { [constants.BROTLI_PARAM_QUALITY]: quality, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length };
  writeFileSync(`${file}.br`, brotliCompressSync(bytes, { params }));
  writeFileSync(`${file}.gz`, gzipSync(bytes, { level: 9 }));
}

/** Bundles the entries; resolves with the address of each output, by the name that it had before its hash: `console.js`. */
async function bundle(outdir, prefix, entryPoints, options) {
  const { metafile } = await build({ ...common, ...options, entryPoints, outdir });
  const named = Object.keys(metafile.outputs).map((path) => basename(path));
  return Object.fromEntries(named.map((file) => [file.replace(/-[A-Z0-9]{8}(?=\.\w+$)/, ''), prefix + file]));
}

/** The page with the addresses of its files in place of their names in braces. */
function writePage(folder, template, files) {
  const html = readFileSync(template, 'utf8').replace(/\{([\w.]+)\}/g, (_, name) => {
    if (files[name] === undefined) throw new Error(`${template} names ${name}, which the bundle has not`);
    return files[name];
  });
  writeFileSync(join(folder, 'index.html'), html);
}

const bundleConsole = () =>
  bundlePage('console', 11, async (folder) => {
    const entries = { console: join(sources, 'main.tsx'), icon: join(sources, 'icon.svg') };
    const files = await bundle(folder, '/console/', entries, { format: 'esm', loader: { '.svg': 'copy' } });
    writePage(folder, join(sources, 'console.html'), files);
  });

const WORKERS = {
  editor: 'monaco-editor/esm/vs/editor/editor.worker.js',
  json: 'monaco-editor/esm/vs/language/json/json.worker.js',
  graphql: 'monaco-graphql/esm/graphql.worker.js',
};

async function bundleExplorer() {
  const stamp = join(pages, 'explore.stamp');
  const wanted = explorerStamp();
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return;
  await bundlePage('explore', 5, async (folder) => {
    const workers = await bundle(folder, '/explore/', WORKERS, { format: 'iife' });
    const known = Object.keys(WORKERS).map((name) => [name, workers[`${name}.js`]]);
    const entries = { explore: join(sources, 'explore/explore.tsx'), icon: join(sources, 'icon.svg') };
    const files = await bundle(folder, '/explore/', entries, {
      format: 'esm',
      splitting: true,
      loader: { '.svg': 'copy', '.ttf': 'file' },
      define: { WORKERS: JSON.stringify(Object.fromEntries(known)), 'process.env.NODE_ENV': '"production"' },
    });
    writePage(folder, join(sources, 'explore/explore.html'), files);
  });
  writeFileSync(stamp, wanted);
}

function explorerStamp() {
  const own = readdirSync(join(sources, 'explore')).map((name) => join(sources, 'explore', name));
  const shared = ['icon.svg', 'api/introspect.ts', 'state/tables.ts', 'state/values.ts', 'api/json.ts'];
  const others = [
    ...['package-lock.json', 'infra/launch/pages.mjs'].map((name) => join(root, name)),
    ...shared.map((name) => join(sources, name)),
  ];
  const hash = createHash('sha256');
  for (const file of [...own, ...others]) hash.update(readFileSync(file));
  return hash.digest('hex');
}

await Promise.all([bundleConsole(), bundleExplorer()]);
