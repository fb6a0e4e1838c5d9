import { setPriority } from 'node:os';

/** Milliseconds for one file. Three of them come to a minute. */
export const FUZZ_MS = Number(process.env['FUZZ_MS'] ?? 20_000);

/**
 * Fuzzing lasts for its time, however much it gets done: it takes what processors other tests leave while they wait, and a
 * third of what those get that do not. For a file whose process is its own; what it starts has the same priority.
 */
export const yieldToOthers = (): void => setPriority(5);
