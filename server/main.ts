#!/usr/bin/env -S node --min-semi-space-size=32 --max-semi-space-size=32
import 'dotenv/config';
import 'reflect-metadata';
import { enableCompileCache } from 'node:module';
import { join } from 'node:path';
import { projectRoot } from './lib/root.ts';

/** Composition root: the only file with effects at import. */

// What is imported from here on is compiled once. Where the folder cannot be written, it is compiled at each start.
enableCompileCache(join(projectRoot, 'dist/.compiled'));
try {
  const { createProgram } = await import('./cli/program.ts');
  await createProgram().parseAsync();
} catch (error) {
  // The project's declarations are read as they are imported.
  const { tellFailure } = await import('./cli/failure.ts');
  process.exitCode = tellFailure(error);
}
