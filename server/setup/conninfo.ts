/** libpq's `key='value'` connection strings, which a subscription holds. */
export type Conninfo = Record<string, string>;

const PASSED_ON = ['sslmode', 'sslrootcert', 'sslcert', 'sslkey', 'connect_timeout'];

export function fromUrl(text: string): Conninfo {
  const url = new URL(text);
  const parameters = PASSED_ON.flatMap((name) => {
    const value = url.searchParams.get(name);
    return value === null ? [] : [[name, value]];
  });
  return {
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port || '5432',
    dbname: decodeURIComponent(url.pathname.slice(1)),
    ...(url.username && { user: decodeURIComponent(url.username), password: decodeURIComponent(url.password) }),
    ...Object.fromEntries(parameters),
  };
}

export function format(conninfo: Conninfo): string {
  return Object.entries(conninfo)
    .map(([key, value]) => `${key}='${value.replace(/[\\']/g, '\\$&')}'`)
    .join(' ');
}

export function parse(text: string): Conninfo {
  const pairs = text.matchAll(/(\w+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|(\S*))/g);
  return Object.fromEntries(
    [...pairs].map(([, key, quoted, bare]) => [key!, (quoted ?? bare ?? '').replace(/\\(.)/g, '$1')]),
  );
}
