import 'dotenv/config';
import 'reflect-metadata';
import { createProgram } from './cli/program.ts';

/** Composition root: the only file with effects at import. */
await createProgram().parseAsync();
