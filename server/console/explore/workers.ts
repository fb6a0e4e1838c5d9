/** Where the bundle put the editor's workers: put in by infra/launch/pages.mjs. */
declare const WORKERS: Record<'editor' | 'graphql' | 'json', string>;

/** Imported before the editor, which asks for its workers here. */
Object.assign(globalThis, {
  MonacoEnvironment: {
    getWorker: (_: unknown, label: string) =>
      new Worker(label === 'json' || label === 'graphql' ? WORKERS[label] : WORKERS.editor),
  },
});
