/** What no client may see: the inside of the server. */
const INSIDE = [
  /argon2/i,
  /password_?hash/i,
  /token_?version/i,
  /\bselect\b.*\bfrom\b/i,
  /\bat .*\.[jt]s:\d/,
  /postgres(ql)?:\/\//i,
  /ECONN/,
  /INTERNAL_SERVER_ERROR/,
];

/** Those of the patterns that the text has. */
export const leaksIn = (text: string, others: readonly RegExp[] = []): string[] =>
  [...INSIDE, ...others].filter((pattern) => pattern.test(text)).map(String);
