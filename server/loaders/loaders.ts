import DataLoader from 'dataloader';
import type { Reads } from '../replication/reads.ts';
import type { UserFilter, UserRow } from '../store/users.ts';
import type { Batcher } from './batcher.ts';
import { readersFor, type Readers, type UserPageKey } from './readers.ts';

/** The loaders of one operation: each key once, all of one tick together, from where the operation reads. */
export class Loaders {
  readonly #reads: Reads;
  #userById!: DataLoader<string, UserRow | null>;
  #userPage!: DataLoader<string, UserRow[]>;
  #userCount!: DataLoader<string, number>;

  constructor(reads: Reads) {
    this.#reads = reads;
    this.forget();
  }

  /** After a write: what was read before it is no longer true. */
  forget(): void {
    this.#userById = this.#loader((readers) => readers.userById);
    this.#userPage = this.#loader((readers) => readers.userPage);
    this.#userCount = this.#loader((readers) => readers.userCount);
  }

  user(id: string): Promise<UserRow | null> {
    return this.#userById.load(id);
  }

  userPage(key: UserPageKey): Promise<UserRow[]> {
    return this.#userPage.load(JSON.stringify(key));
  }

  userCount(filter: UserFilter): Promise<number> {
    return this.#userCount.load(JSON.stringify(filter));
  }

  #loader<Value>(of: (readers: Readers) => Batcher<string, Value>): DataLoader<string, Value> {
    return new DataLoader(async (keys) => {
      const { values } = await this.#reads.read((place) => of(readersFor(place.sql)).load(keys));
      return values;
    });
  }
}
