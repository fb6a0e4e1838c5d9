import { expect, test, vi } from 'vitest';
import { TableWatch } from './tables.ts';

const CHANGE = { id: 3, table: 'parts', part: 'parts_old', what: 'truncated' };

test('a replica that is away does not hide that it holds other rows', async () => {
  vi.useFakeTimers({ toFake: ['performance'] });
  const replica = { last: 0 as number | undefined };
  const told: string[] = [];
  const watch = new TableWatch({
    drifts: async () => [],
    partitionChanges: async () => [CHANGE],
    replicas: [{ changesCopied: async () => replica.last }],
    hasOthers: (table) => told.push(table),
    log: { warn: () => {}, info: () => {} },
    complain: () => {},
  });
  const looked = async () => {
    vi.advanceTimersByTime(60_000);
    watch.round();
    await new Promise(setImmediate);
    return watch.holdsOthers('parts');
  };
  try {
    expect(await looked()).toBe(true);
    replica.last = undefined;
    expect(await looked()).toBe(true);
    replica.last = 3;
    expect(await looked()).toBe(false);
    replica.last = undefined;
    expect(await looked()).toBe(false);
    expect(told).toEqual(['parts', 'parts']);
  } finally {
    vi.useRealTimers();
  }
});
