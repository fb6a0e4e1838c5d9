import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, totalmem } from 'node:os';
import { generator } from '../load/press.mjs';

const { dependencies } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));

/** What the figures were taken on. */
export const describeMachine = ({ version, fsync }) => ({
  processor: cpus()[0].model,
  cores: availableParallelism(),
  memoryGb: Math.round(totalmem() / 2 ** 30),
  node: process.version,
  postgresql: version,
  fsync,
  generator,
  versions: dependencies,
});

export function plainMachine({ processor, cores, memoryGb, node, postgresql, fsync = 'off', generator, versions }) {
  const packages = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return `${cores} cores of ${processor}, ${memoryGb} GB, which load, databases and server share; Node ${node}, PostgreSQL ${postgresql} with fsync ${fsync}, load by ${generator}; ${packages.join(', ')}`;
}
