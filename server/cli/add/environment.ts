import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describeUrl, looksLikeUrl } from '../../lib/database-url.ts';
import type { Say } from '../../lib/logger.ts';

/** Into `.env`, where what is there stays, and says so; whoever else has a login here may not read it. */
export function writeEnvironment(settings: Readonly<Record<string, string>>, root: string, say: Say): void {
  const path = join(root, '.env');
  const before = existsSync(path) ? readFileSync(path, 'utf8') : '';
  const lines = before === '' ? [] : before.replace(/\n$/, '').split('\n');
  for (const [name, value] of Object.entries(settings)) {
    const index = lines.findIndex((line) => line.startsWith(`${name}=`));
    const line = `${name}=${value}`;
    if (index === -1) lines.push(line);
    else if (lines[index] !== line) {
      say(`.env had another ${name}, which is kept as a comment: ${shown(lines[index]!.slice(name.length + 1))}`);
      lines.splice(index, 1, `#${lines[index]}`, line);
    }
  }
  const text = `${lines.join('\n')}\n`;
  if (text === before) return say('.env has it all already');
  // Writing changes the mode of no file that is there.
  if (existsSync(path)) chmodSync(path, 0o600);
  writeFileSync(path, text, { mode: 0o600 });
  say(`${before === '' ? 'wrote  ' : 'changed'}  .env (${Object.keys(settings).join(', ')})`);
}

/** Never a password. */
function shown(value: string): string {
  const first = value.split(',')[0]!;
  if (!looksLikeUrl(first)) return value;
  try {
    return describeUrl(first);
  } catch {
    return 'a URL that is none';
  }
}
