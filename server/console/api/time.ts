/** Milliseconds by this browser's clock, with fractions; it never goes back. */
export const now = () => performance.timeOrigin + performance.now();

/** Date.parse forgets the microseconds. */
export function timeOf(iso: string): number {
  const micros = /\.\d{3}(\d{3})/.exec(iso)?.[1] ?? '0';
  return Date.parse(iso) + Number(micros) / 1000;
}
