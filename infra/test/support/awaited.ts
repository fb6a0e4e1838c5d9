import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Say } from '../../../server/lib/logger.ts';
import { addReplica, planDrop } from '../../../server/operate/replicas.ts';
import { reset } from '../../../server/operate/reset.ts';
import { setUp } from '../../../server/setup/setup.ts';
import { testConfig } from '../../../server/test/support/databases.ts';
import { faults, fixAll } from '../../../server/test/support/doctor.ts';
import { SLOT, subscribe, unsubscribe } from '../../../server/test/support/helper.ts';
import { EACH, looked, made, migrated, on, served, stepsOf, WELL } from '../../../server/test/support/managed.ts';
import { added, behindPgBouncer, givenUp } from '../../../server/test/support/managed-steps.ts';
import { manage, MODELS, rightsBy, rightsIn, type Managed } from '../../../server/test/support/models.ts';
import { STEPS, type Results } from '../../../server/test/support/results.ts';
import type { OwnServers } from '../../../server/test/support/standby.ts';
import { SLOW } from './versions.ts';

const AWAITED = { SUBSCRIPTIONS: 'awaited' } as const;
const settings = testConfig(AWAITED);
const quiet = () => {};
const OTHERS = /^replica-1 .* may not drop the subscription readback, which is of another owner\b/m;

/** The same on PostgreSQL 15, where the subscription is a superuser's, and somebody calls what that has left. */
export function awaitedWorks(servers: () => OwnServers, results: Results): void {
  describe(MODELS.AWAITED.name, () => {
    let managed: Managed;
    beforeAll(async () => {
      managed = await manage(servers(), MODELS.AWAITED);
    }, SLOW.timeout);
    afterAll(() => managed?.end());
    const step = stepsOf(MODELS.AWAITED, 15, results);
    const isWell = async () => expect(await looked(managed.config, AWAITED)).toEqual(WELL);
    const drop = (which: string) => on(managed.config, async (all) => (await planDrop(all, which, settings)).run());
    const resetAll = () => on(managed.config, (all) => reset(all, { ...settings, tables: true }, quiet));

    test('the login is what the model says', async () => {
      expect(await rightsIn(managed)).toEqual(rightsBy(MODELS.AWAITED));
    });

    step(STEPS.SET_UP, async () => {
      expect(await asked(managed, (hear) => migrated(managed.config, AWAITED, hear))).toContain('applied');
      expect(await migrated(managed.config, AWAITED)).not.toContain('applied');
    });

    step(STEPS.LOOKED, isWell);

    step(STEPS.SERVED, async () => {
      expect(await served(managed)).toEqual(EACH);
    });

    step(
      STEPS.PGBOUNCER,
      () =>
        behindPgBouncer(managed, async (pooled) => {
          await migrated(pooled, AWAITED);
          expect(await served({ ...managed, config: pooled })).toEqual(EACH);
        }),
      { tags: ['pgbouncer'] },
    );

    step(STEPS.ADD, async () => {
      await added(managed, async (folder) => {
        const migrate = () => setUp(managed.config, settings, quiet, folder);
        await expect(migrate()).rejects.toThrow(
          /^replica-1 .* somebody else, who has to run there: alter subscription readback refresh publication; then start again\.$/,
        );
        await managed.replica`alter subscription readback refresh publication`;
        await migrate();
      });
      await isWell();
    });

    test('what it may not drop is named, and nothing is changed', async () => {
      await expect(drop('replica-1')).rejects.toThrow(OTHERS);
      await expect(resetAll()).rejects.toThrow(OTHERS);
      await isWell();
    });

    step(STEPS.AGAIN, async () => {
      const { replicas, ...rest } = managed.config;
      await unsubscribe(managed);
      await drop(SLOT);
      await emptied(managed);
      await asked(managed, (hear) => addReplica({ ...rest, replicas: [] }, replicas[0]!, settings, hear));
      await isWell();
    });

    step(STEPS.GIVEN_UP, async () => {
      expect(await faults(managed.config, { ...settings, SLOT_ACTION: 'drop' })).toEqual([]);
      expect(await givenUp(managed)).toContain('Gave up the slot');
    });

    test('doctor --fix names what is another owner’s; with that dropped, set-up goes on', async () => {
      expect(await faults(managed.config, settings)).toContain('replica-1 slot-missing');
      await expect(fixAll(managed.config, settings)).rejects.toThrow(OTHERS);
      await unsubscribe(managed);
      await emptied(managed);
      await asked(managed, (hear) => migrated(managed.config, AWAITED, hear));
      await isWell();
    });

    step(STEPS.RESET, async () => {
      await unsubscribe(managed);
      await resetAll();
      expect(await made(managed)).toEqual([]);
    });
  });
}

/** What an earlier copy has left is in the way of the next one. */
const emptied = ({ replica }: Managed) => replica`truncate users, posts, notes, readback.heartbeat`;

/** Set-up says what it waits for, and somebody does it. */
async function asked<T>(managed: Managed, work: (hear: Say) => Promise<T>): Promise<T> {
  const heard = Promise.withResolvers<void>();
  const hear = (line: string) => (line.includes('waiting for the subscription readback') ? heard.resolve() : undefined);
  const [outcome] = await Promise.all([work(hear), heard.promise.then(() => subscribe(managed))]);
  return outcome;
}
