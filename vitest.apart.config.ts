import { defineConfig } from 'vitest/config';
import config, { APART } from './vitest.config.ts';

/** Tests that `npm test` leaves out, as they need more than Node's packages. They start servers of their own. */
export default defineConfig({
  ...config,
  test: { ...config.test, include: APART, exclude: ['**/node_modules/**'], globalSetup: [] },
});
