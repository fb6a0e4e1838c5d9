/**
 * Runs `work` for everybody who asks at the same time. A caller is never answered by a run that began before its call:
 * who asks while one is under way shares the next one.
 */
export function shared<T>(work: () => Promise<T>): () => Promise<T> {
  let running: Promise<unknown> = Promise.resolve();
  let next: Promise<T> | undefined;
  return () => {
    next ??= running.then(() => {
      const run = work();
      running = run.catch(() => undefined); // who asked for that run is told
      next = undefined;
      return run;
    });
    return next;
  };
}
