/** The work's result, or an Error ETIMEDOUT after `ms`. The work itself goes on: its outcome is then nobody's. */
export async function withinMs<T>(work: PromiseLike<T>, ms: number): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const timedOut = () => reject(Object.assign(new Error(`no answer within ${ms} ms`), { code: 'ETIMEDOUT' }));
  const timer = setTimeout(timedOut, ms);
  try {
    return await Promise.race([work, promise]);
  } finally {
    clearTimeout(timer);
  }
}
