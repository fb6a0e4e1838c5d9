import { SetupError } from '../lib/errors.ts';
import { identitiesOf, mismatches, whatDiffers } from './identities.ts';
import { readOnlyOn, whatIsReadOnly } from './read-only.ts';
import type { Server } from './requirements.ts';
import { publishedTables, subscribedOn } from './shapes.ts';
import { textsOf, unlikeTexts } from './texts.ts';

/**
 * Whether both sides are of one kind. What stops replication at the first text that differs is refused before anything
 * is subscribed; on a replica that has worked so far it is said, like all that makes answers differ.
 * @throws SetupError
 */
export async function compare(primary: Server, replica: Server, say: (line: string) => void): Promise<void> {
  const unlike = unlikeTexts(await textsOf(primary.admin), await textsOf(replica.admin));
  const isNew = (await subscribedOn(replica.admin)).length === 0;
  const told = ({ found, remedy }: { found: string; remedy: string }) =>
    `${replica.name} (${replica.at}): ${found}. ${remedy}`;
  const refused = unlike.filter(({ stops }) => stops && isNew);
  if (refused.length > 0) throw new SetupError(refused.map(told).join('\n'));
  for (const one of unlike) say(told(one));
}

/** Settings by which changes cannot be applied: the doctor undoes them without loss. */
export async function sayWhatStops(primary: Server, replica: Server, say: (line: string) => void): Promise<void> {
  const tables = await publishedTables(primary.admin);
  const unlike = mismatches(await identitiesOf(primary.admin, tables), await identitiesOf(replica.admin, tables));
  const readOnly = await readOnlyOn(replica.admin);
  for (const one of [...unlike.map(whatDiffers), ...(readOnly ? [whatIsReadOnly(readOnly)] : [])])
    say(`${replica.name} (${replica.at}): ${one}. Run readback doctor --fix.`);
}
