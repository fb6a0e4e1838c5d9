import { SetupError } from '../lib/errors.ts';

/** The command was called in a way that it cannot work: a script gets 2 for it, where a fault that was found gives 1. */
export class UsageError extends SetupError {}

export const EXIT = { well: 0, fault: 1, usage: 2 } as const;
