/** Milliseconds of the processor that this process takes meanwhile, all of its threads: other processes count for nothing. */
export async function processorMs(work: () => Promise<unknown>): Promise<number> {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}
