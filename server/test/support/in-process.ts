import { vi } from 'vitest';
import { tellFailure } from '../../cli/failure.ts';

/** What a command has printed, and what it ends with. */
export interface Ran {
  code: number;
  /** What it found and did, on both outputs. */
  said: string;
  /** The lines of the failure that has ended it. */
  failure: string[];
}

/** A command in this process, as `readback` runs it: what it throws is told, and gives the code. */
export async function ran(command: () => Promise<boolean | void>): Promise<Ran> {
  const said: string[] = [];
  const failure: string[] = [];
  const take = (text: unknown) => said.push(String(text)) > 0;
  const spies = [
    vi.spyOn(process.stdout, 'write').mockImplementation(take),
    vi.spyOn(process.stderr, 'write').mockImplementation(take),
    vi.spyOn(console, 'error').mockImplementation((text) => failure.push(...String(text).split('\n'))),
  ];
  try {
    return { code: (await command()) === false ? 1 : 0, said: said.join(''), failure };
  } catch (error) {
    return { code: tellFailure(error), said: said.join(''), failure };
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}
