import type { Level } from '../../reads/reads.ts';
import type { TestClient } from './server.ts';

/**
 * Clients that write and read registers at once, and what each must see. Every register has one writer, which writes
 * 1, 2, 3 …; so a read is right when its value lies between what must be visible and what was attempted.
 */
export interface Outcome {
  operations: number;
  /** Reads by where they were answered. */
  sources: Record<string, number>;
  /** Refusals, by code: allowed while servers are away, and never a wrong answer. */
  refused: Record<string, number>;
  violations: string[];
}

/** A row of one of the tables, as clients know it. */
export interface RegisterOf {
  table: keyof typeof DOCUMENTS;
  id: string;
}

interface Register extends RegisterOf {
  attempted: number;
  acknowledged: number;
}

export type Random = () => number;

/** mulberry32: a run can be repeated from its seed. */
export function randomFrom(seed: number): Random {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const documents = (one: string, field: string) => ({
  read: `query ($id: ID!) { row: ${one}(id: $id) { value: ${field} } }`,
  write: `mutation ($id: ID!, $value: String!) {
    update${one[0]!.toUpperCase()}${one.slice(1)}(id: $id, input: { ${field}: $value }) { ${one} { id } } }`,
});

const DOCUMENTS = {
  users: documents('user', 'firstName'),
  counters: documents('counter', 'marker'),
  pairs: documents('pair', 'marker'),
  shards: documents('shard', 'marker'),
};

export async function runHistory(
  server: Pick<TestClient, 'query'>,
  rows: RegisterOf[],
  operations: number,
  random: Random,
): Promise<Outcome> {
  const registers = rows.map((row): Register => ({ ...row, attempted: 0, acknowledged: 0 }));
  const outcome: Outcome = { operations: 0, sources: {}, refused: {}, violations: [] };
  const clients = registers.map(
    (own, index) => new HistoryClient(`client ${index}`, server, own, registers, outcome, random),
  );
  await Promise.all(clients.map((client) => client.run(operations)));
  return outcome;
}

class HistoryClient {
  readonly #name: string;
  readonly #server: Pick<TestClient, 'query'>;
  readonly #own: Register;
  readonly #all: Register[];
  readonly #outcome: Outcome;
  readonly #random: Random;
  /** The latest value that this client has written or read, by register. */
  readonly #floor = new Map<Register, number>();
  #bookmark: string | undefined;

  constructor(
    name: string,
    server: Pick<TestClient, 'query'>,
    own: Register,
    all: Register[],
    outcome: Outcome,
    random: Random,
  ) {
    this.#name = name;
    this.#server = server;
    this.#own = own;
    this.#all = all;
    this.#outcome = outcome;
    this.#random = random;
  }

  async run(operations: number): Promise<void> {
    while (this.#outcome.operations < operations) {
      if (this.#random() < 0.25) await this.#write();
      // Often its own, right after it was written: that is where a stale read shows.
      else
        await this.#read(this.#random() < 0.5 ? this.#own : this.#all[Math.floor(this.#random() * this.#all.length)]!);
    }
  }

  async #write(): Promise<void> {
    const value = ++this.#own.attempted;
    if (!(await this.#send(DOCUMENTS[this.#own.table].write, { id: this.#own.id, value: String(value) }, 'session')))
      return;
    this.#own.acknowledged = value;
    this.#raise(this.#own, value);
  }

  async #read(register: Register): Promise<void> {
    const level = this.#level();
    const [acknowledged, floor] = [register.acknowledged, this.#floor.get(register) ?? 0];
    const answer = await this.#send(DOCUMENTS[register.table].read, { id: register.id }, level);
    if (!answer) return;
    const value = Number(answer.data.row?.value ?? 0);
    const least = level === 'eventual' ? 0 : level === 'strong' ? Math.max(acknowledged, floor) : floor;
    if (value < least || value > register.attempted) {
      const { source, fallback } = answer.readback;
      this.#outcome.violations.push(
        `${this.#name} read ${value} at level ${level} from ${source} (${fallback ?? 'no fallback'}); expected ${least} to ${register.attempted}`,
      );
    }
    if (level !== 'eventual') this.#raise(register, value);
  }

  #level(): Level {
    const dice = this.#random();
    return dice < 0.75 ? 'session' : dice < 0.9 ? 'strong' : 'eventual';
  }

  async #send(document: string, variables: object, level: Level) {
    const headers = { 'readback-consistency': level, ...(this.#bookmark && { 'readback-bookmark': this.#bookmark }) };
    const answer = await this.#server.query<any, object>(document, variables, headers);
    this.#outcome.operations++;
    const code = answer.errors[0]?.extensions.code;
    if (code !== undefined) {
      this.#outcome.refused[code] = (this.#outcome.refused[code] ?? 0) + 1;
      return undefined;
    }
    const { source, bookmark } = answer.readback;
    this.#outcome.sources[source] = (this.#outcome.sources[source] ?? 0) + 1;
    this.#bookmark = bookmark;
    return answer;
  }

  #raise(register: Register, value: number): void {
    this.#floor.set(register, Math.max(this.#floor.get(register) ?? 0, value));
  }
}
