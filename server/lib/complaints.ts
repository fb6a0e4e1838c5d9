import type { Logger } from './logger.ts';

/** Writes to the log that something failed, and why. What fails over and over is written once a minute, with its number. */
export type Complain = (error: unknown, message: string) => void;

const EVERY_MS = 60_000;

/** The driver's words for what this process itself has closed: who did that has the reason. */
const OWN_DOING = new Set(['CONNECTION_ENDED', 'CONNECTION_DESTROYED']);

/** PostgreSQL says by name what a role may not use: that is one cause, whatever fails for it. */
const DENIED = '42501';

/** `message` is one of few: each is remembered, with the error's code; of a denial its words are. */
export function complainTo(log: Pick<Logger, 'warn'>, everyMs = EVERY_MS): Complain {
  const written = new Map<string, { atMs: number; more: number }>();
  return (error, message) => {
    const code = String((error as { code?: unknown } | undefined)?.code);
    if (OWN_DOING.has(code)) return;
    const key = `${code} ${code === DENIED ? wordsOf(error) : message}`;
    const last = written.get(key);
    const now = performance.now();
    if (last && now - last.atMs < everyMs) return void last.more++;
    log.warn({ err: error, ...(last && { alsoSince: last.more }) }, message);
    written.set(key, { atMs: now, more: 0 });
  };
}

/** An error in the words of whoever made it, as one line. Several addresses tried leave one without a message. */
export function wordsOf(error: unknown): string {
  const { message, code } = error as { message?: string; code?: string };
  return (message || code || 'no reason given').replace(/\s+/g, ' ');
}
