import { Releasers } from '../lib/releasers.ts';
import type { Say } from '../lib/logger.ts';

/** Asks the process to stop, from wherever something it cannot go on without has ended. */
export interface Stopping {
  because: (reason: string) => void;
}

/**
 * Runs `start`, then waits for a reason to stop: a signal, a launcher that is gone, or `stopping.because`. Releases
 * everything last-in-first-out, within `graceMs`, and ends the process. The same signal a second time ends it at once.
 */
export async function runUntilStopped(
  graceMs: number,
  say: Say,
  start: (releasers: Releasers, stopping: Stopping) => Promise<void>,
): Promise<void> {
  const releasers = new Releasers();
  const { promise: stopped, resolve } = Promise.withResolvers<number>();
  const because = (reason: string) => {
    console.error(reason);
    resolve(1);
  };
  onStopSignals(() => resolve(0));
  const started = start(releasers, { because });
  let isRefused = false;
  try {
    await Promise.race([started, stopped]);
    process.exitCode = await stopped;
  } catch (error) {
    // Whoever reads that something stops would take it for the server that was there before.
    isRefused = releasers.isEmpty;
    throw error;
  } finally {
    if (!isRefused) await release(releasers, graceMs, say);
  }
  process.exit();
}

/** Ctrl-C arrives as SIGINT from the terminal and as SIGTERM from the launcher: these two are one wish. */
function onStopSignals(stop: () => void): void {
  const asked = new Set<NodeJS.Signals>();
  const ask = (signal: NodeJS.Signals) => {
    if (asked.has(signal)) process.exit(1);
    asked.add(signal);
    stop();
  };
  process.on('SIGINT', ask);
  process.on('SIGTERM', ask);
  process.on('SIGHUP', ask);
  process.on('disconnect', stop);
  // Alone it must not keep a process alive whose start has failed.
  process.channel?.unref();
}

async function release(releasers: Releasers, graceMs: number, say: Say): Promise<void> {
  say('Stopping…');
  const timer = setTimeout(() => {
    console.error(`Not everything stopped within ${graceMs} ms (SHUTDOWN_GRACE_MS): ending without waiting longer.`);
    process.exit(1);
  }, graceMs);
  await releasers.run((name, error) => console.error(`Stopping ${name} failed: ${(error as Error).message}`));
  clearTimeout(timer);
  say('Stopped.');
}
