import { readFileSync } from 'node:fs';
import type { ConnectionOptions } from 'node:tls';

type Ssl = false | 'require' | 'prefer' | 'allow' | ConnectionOptions;

/** What libpq calls so in a URL. */
export const TLS_PARAMETERS = ['sslmode', 'sslrootcert', 'sslcert', 'sslkey'] as const;

/**
 * What a URL says of TLS as the driver takes it, with libpq's meanings: `require` encrypts, `verify-ca` wants a
 * certificate of `sslrootcert`, `verify-full` one for this very host besides.
 */
export function readTls(parameters: URLSearchParams): Ssl | undefined {
  const given = Object.fromEntries(TLS_PARAMETERS.map((name) => [name, parameters.get(name) ?? undefined]));
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
      return { ...files(given), checkServerIdentity: () => undefined };
    case 'verify-full':
      return files(given);
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
