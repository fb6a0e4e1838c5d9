import type { OperationLine } from './operation.ts';
import type { Logger } from '../lib/logger.ts';

const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;

/** One line for each operation, where the level takes it; undefined where it does not. */
export function operationLog(log: Logger, level: (typeof LEVELS)[number]): ((line: OperationLine) => void) | undefined {
  if (LEVELS.indexOf(level) > LEVELS.indexOf('info')) return undefined;
  return (line) => log.info(line, 'operation');
}

interface Fault extends Error {
  code?: unknown;
  severity?: string;
  constraint_name?: string;
  table_name?: string;
  column_name?: string;
  routine?: string;
}

const PLAIN = ['code', 'severity', 'constraint_name', 'table_name', 'column_name', 'routine'] as const;
/** SQLSTATEs of values that do not fit: PostgreSQL quotes them in the message. */
const DATA_EXCEPTION = /^22...$/;
const MOST_CAUSES = 4;

/**
 * An error as the log has it. What PostgreSQL tells beside the message quotes rows and parameters (`detail`, `where`),
 * and a broken HTTP request comes along in whole (`rawPacket`): only what is known to hold no values is taken over.
 */
export function describeError(error: unknown, depth = 0): unknown {
  if (!(error instanceof Error)) return { type: typeof error };
  const { name, stack = '', cause } = error as Fault;
  const isQuoting = DATA_EXCEPTION.test(String((error as Fault).code));
  const plain = Object.fromEntries(
    PLAIN.map((key) => [key, (error as Fault)[key]]).filter(([, value]) => value != null),
  );
  const frames = stack.split('\n').filter((line) => /^\s+at /.test(line));
  return {
    type: name,
    message: isQuoting ? '(not shown: it quotes a value)' : error.message,
    stack: frames.join('\n'),
    ...plain,
    ...(cause !== undefined && depth < MOST_CAUSES && { cause: describeError(cause, depth + 1) }),
  };
}
