import { readFileSync } from 'node:fs';
import type { ConnectionOptions } from 'node:tls';

type Ssl = false | 'require' | 'prefer' | 'allow' | ConnectionOptions;

/** What libpq calls so in a URL. */
const PARAMETERS = ['sslmode', 'sslrootcert', 'sslcert', 'sslkey'] as const;

/**
 * The URL without what it says of TLS, and that as the driver takes it, with libpq's meanings: `require` encrypts,
 * `verify-ca` wants a certificate of `sslrootcert`, `verify-full` one for this very host besides.
 */
export function readTls(text: string): { plainUrl: string; ssl: Ssl | undefined } {
  const url = new URL(text);
  const given = Object.fromEntries(PARAMETERS.map((name) => [name, url.searchParams.get(name) ?? undefined]));
  for (const name of PARAMETERS) url.searchParams.delete(name);
  return { plainUrl: url.href, ssl: sslOf(given, url.hostname.replace(/^\[|\]$/g, '')) };
}

function sslOf(given: Record<string, string | undefined>, host: string): Ssl | undefined {
  const { sslmode } = given;
  switch (sslmode) {
    case undefined:
      return undefined;
    case 'disable':
      return false;
    case 'allow':
    case 'prefer':
    case 'require':
      return given['sslcert'] === undefined ? sslmode : { ...files(given), rejectUnauthorized: false };
    case 'verify-ca':
      return { ...files(given), host, checkServerIdentity: () => undefined };
    case 'verify-full':
      return { ...files(given), host };
    default:
      throw new Error(`sslmode must be disable, allow, prefer, require, verify-ca or verify-full, got: ${sslmode}`);
  }
}

/** Without sslrootcert, or with `system`: the authorities that Node knows. */
function files({ sslrootcert, sslcert, sslkey }: Record<string, string | undefined>): ConnectionOptions {
  return {
    rejectUnauthorized: true,
    ...(sslrootcert !== undefined && sslrootcert !== 'system' && { ca: readFileSync(sslrootcert) }),
    ...(sslcert !== undefined && { cert: readFileSync(sslcert) }),
    ...(sslkey !== undefined && { key: readFileSync(sslkey) }),
  };
}
