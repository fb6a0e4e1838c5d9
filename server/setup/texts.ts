import type { Sql } from '../database/connect.ts';
import { SetupError } from '../lib/errors.ts';
import type { Say } from '../lib/logger.ts';
import type { Server } from './servers.ts';
import { subscribedOn } from './shapes.ts';

/** What a database makes of texts. */
export interface Texts {
  encoding: string;
  /** Of the database, in words: `C.UTF-8`. */
  locale: string;
  /** How it sorts, and which letters it takes for alike: of ASCII, and of what Unicode has besides, where it has that. */
  order: { ascii: string; wide: string | null };
  cases: string | null;
}

/**
 * Names of locales differ from provider to provider, and say little: texts are sorted, and letters put into lower case.
 * Signs and spaces between letters are what locales sort most unlike.
 */
export async function textsOf(sql: Sql): Promise<Texts> {
  const [row] = await sql<[Texts]>`
    with database as (
      select pg_encoding_to_char(encoding) as encoding, coalesce(
          to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale', format('%s, ctype %s', datcollate, datctype)) as locale
      from pg_database d where datname = current_database()
    ), ascii as (
      select chr(n) as sign from generate_series(32, 126) n
    ), wide as (
      select chr(n) as sign from database, generate_series(192, 1103) n
      where encoding = 'UTF8' and (n between 192 and 382 or n between 913 and 929 or n between 945 and 969 or n between 1040 and 1103)
    ), texts as (
      select false as is_wide, t from ascii, lateral (values (sign), ('a' || sign || 'b'), (sign || 'B')) v(t)
      union all
      select true, t from wide, lateral (values (sign), ('a' || sign || 'b'), ('z' || sign)) v(t)
    )
    select encoding, locale,
      json_build_object('ascii', (select md5(string_agg(t, ',' order by t)) from texts where not is_wide),
        'wide', (select md5(string_agg(t, ',' order by t)) from texts where encoding = 'UTF8')) as "order",
      (select md5(string_agg(lower(sign), '' order by ascii(sign))) from wide
       where ascii(sign) between 192 and 222 or ascii(sign) between 913 and 929 or ascii(sign) between 1040 and 1071) as cases
    from database`;
  return row;
}

export interface Unlike {
  what: 'encoding' | 'collation' | 'ctype';
  /** Replication stops at a text that is not the same on both sides; else answers differ. */
  stops: boolean;
  found: string;
  expected: string;
  remedy: string;
}

/**
 * Whether both sides make the same of texts. What stops replication at the first text that differs is refused before
 * anything is subscribed; on a replica that has worked so far it is said, like all that makes answers differ.
 * @throws SetupError
 */
export async function compareTexts(primary: Server, replica: Server, say: Say): Promise<void> {
  const unlike = unlikeTexts(await textsOf(primary.admin), await textsOf(replica.admin));
  const isNew = (await subscribedOn(replica.admin)).length === 0;
  const told = ({ found, remedy }: { found: string; remedy: string }) =>
    `${replica.name} (${replica.at}): ${found}. ${remedy}`;
  const refused = unlike.filter(({ stops }) => stops && isNew);
  if (refused.length > 0) throw new SetupError(refused.map(told).join('\n'));
  for (const one of unlike) say(told(one));
}

/** What the replica makes of texts that the primary does not. Pure. */
export function unlikeTexts(primary: Texts, replica: Texts): Unlike[] {
  const encoding = unlikeEncoding(primary, replica);
  return [...(encoding ? [encoding] : []), ...unlikeLocale(primary, replica)];
}

/** UTF8 takes every character of any encoding, but bytes that SQL_ASCII holds are of none. */
function unlikeEncoding(primary: Texts, replica: Texts): Unlike | undefined {
  const known = { what: 'encoding' as const };
  if (primary.encoding === 'SQL_ASCII')
    return {
      ...known,
      stops: replica.encoding !== 'SQL_ASCII',
      found: `the primary's database is SQL_ASCII, which takes any byte, and this one is ${replica.encoding}`,
      expected: 'texts of an encoding: a byte that is none in the other stops replication',
      remedy:
        'Make a database on the primary with encoding UTF8 (template template0), load a dump of this one into it, which names each byte that is no text, and set PRIMARY_URL to it.',
    };
  if (replica.encoding === primary.encoding || replica.encoding === 'UTF8') return undefined;
  return {
    ...known,
    stops: true,
    found: `its database is ${replica.encoding}, and the primary's ${primary.encoding}`,
    expected: 'the encoding of the primary, or UTF8: a character that the other one does not have stops replication',
    remedy: again(`encoding '${primary.encoding}'`),
  };
}

function unlikeLocale(primary: Texts, replica: Texts): Unlike[] {
  const isSorted = differs(primary.order.ascii, replica.order.ascii) || differs(primary.order.wide, replica.order.wide);
  const unlike = (what: Unlike['what'], does: string, expected: string): Unlike => ({
    what,
    stops: false,
    found: `it ${does} otherwise than the primary: its locale is ${replica.locale}, there ${primary.locale}`,
    expected,
    remedy: again('the locale of the primary'),
  });
  return [
    ...(isSorted ? [unlike('collation', 'sorts texts', ONE_ORDER)] : []),
    ...(differs(primary.cases, replica.cases) ? [unlike('ctype', 'knows upper and lower case', SAME_LETTERS)] : []),
  ];
}

const ONE_ORDER = 'one order: pages that come from two servers repeat rows, or leave some out';
const SAME_LETTERS = 'the same letters alike: a search finds more on one server than on the other';

/** One side may not have been asked for what its encoding does not have. */
const differs = (one: string | null, other: string | null) => one !== null && other !== null && one !== other;

/** The primary stays as it is, and the replica's old database until it is no longer needed. */
const again = (how: string) =>
  `Make another database on the replica with ${how} (create database … template template0 …), name it in REPLICA_URLS and run readback migrate, which copies everything there; then drop the old one by readback replica drop.`;
