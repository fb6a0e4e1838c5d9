import { placeOf } from '../database/named.ts';
import { describeRefusal } from '../database/refusal.ts';
import { SetupError } from '../lib/errors.ts';
import { EXIT, UsageError } from './usage.ts';

/** What ended a command, told on stderr; the exit code to end with. */
export function tellFailure(error: unknown): number {
  console.error(error instanceof SetupError ? error.message : (describeRefusal(error) ?? describeFault(error)));
  return error instanceof UsageError ? EXIT.usage : EXIT.fault;
}

/** The stack alone: of its other properties a database's error shows statements with their values, of which some are secret. */
function describeFault(error: unknown): string {
  const place = placeOf(error);
  return [
    `This is a fault of Readback itself${place === undefined ? '' : `, met at ${place}`}. Please report it, with these lines:`,
    error instanceof Error ? (error.stack ?? error.message) : String(error),
  ].join('\n');
}

/** Who reads the output may leave before its end, as `head` does: the rest is written for nobody, and that is no fault. */
export function outliveReaders(): void {
  for (const stream of [process.stdout, process.stderr])
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error;
    });
}
