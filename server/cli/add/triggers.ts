import type { Found } from './catalog.ts';

/** What a function writes into, by its text. */
const WRITES = /\b(?:insert\s+into|update|delete\s+from|merge\s+into|truncate(?:\s+table)?)\s+(?:only\s+)?([\w$."]+)/gi;

/**
 * Triggers run as whoever writes, unless their functions say otherwise: those that write into tables which
 * `readback_writer` has no rights on make each write of Readback's fail.
 */
export function foreignWrites(table: Found, all: readonly Found[], isServed: (table: string) => boolean): string[] {
  return table.triggers.flatMap(({ name, function: its, source }) => {
    const named = [...source.replace(/--.*$/gm, '').matchAll(WRITES)].map(([, target]) => plain(target!));
    const others = all.filter((one) => !isServed(one.table) && named.some((target) => isNamed(one, target)));
    if (others.length === 0) return [];
    const list = others.map((one) => one.table).join(', ');
    return [
      `${table.table}: its trigger ${name} writes into ${list} as whoever writes, and readback_writer may not. For clients to write here, run alter function ${its} security definer, or grant insert, update on ${list} to readback_writer.`,
    ];
  });
}

/** As the catalog has it. */
const plain = (name: string) =>
  name
    .split('.')
    .map((part) => (part.startsWith('"') ? part.slice(1, -1) : part.toLowerCase()))
    .join('.');

const isNamed = ({ schema, bare }: Found, target: string) => target === bare || target === `${schema}.${bare}`;
