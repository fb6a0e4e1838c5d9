/** Where the system does not say, or has no limit. */
const UNKNOWN = 65_536;

/** How many files and sockets the process may have open at once. Node has raised it to as much as it may. */
export function openFilesMost(): number {
  // A report would look up the name of each peer. The types of Node lack this.
  const report = Object.assign(process.report, { excludeNetwork: true });
  const { userLimits } = report.getReport() as { userLimits?: { open_files?: { soft?: number | string } } };
  const most = userLimits?.open_files?.soft;
  return typeof most === 'number' ? most : UNKNOWN;
}
