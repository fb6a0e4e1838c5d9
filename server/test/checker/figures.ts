import { appendFileSync } from 'node:fs';

/** Prints what a long run did, and adds it to the file of `npm run test:soak`, which sums it up. */
export function tellFigures(figures: Record<string, unknown>): void {
  console.log(figures);
  const file = process.env['SOAK_FIGURES'];
  if (file !== undefined) appendFileSync(file, `${JSON.stringify(figures)}\n`);
}
