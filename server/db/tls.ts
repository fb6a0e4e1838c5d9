import { readFileSync } from 'node:fs';
import type { ConnectionOptions } from 'node:tls';

type Ssl = false | 'require' | 'prefer' | 'allow' | ConnectionOptions;

/** What libpq calls so in a URL. */
export const TLS_PARAMETERS = ['sslmode', 'sslrootcert', 'sslcert', 'sslkey'] as const;

/**
 * What a URL says of TLS as the driver takes it, with libpq's meanings: `require` encrypts, `verify-ca` wants a
 * certificate of `sslrootcert`, as does `require` where that is given; `verify-full` wants one for this very host besides.
 */
export function readTls(parameters: URLSearchParams): Ssl | undefined {
  const given = Object.fromEntries(TLS_PARAMETERS.map((name) => [name, parameters.get(name) ?? undefined]));
  const { sslmode } = given;
  if (given['sslrootcert'] === 'system' && sslmode !== undefined && sslmode !== 'verify-full')
    throw new Error(`sslrootcert=system wants sslmode=verify-full, as anybody may have a certificate, got: ${sslmode}`);
  switch (sslmode) {
    case undefined:
      return undefined;
    case 'disable':
      return false;
    case 'allow':
    case 'prefer':
      return unverified(sslmode, given);
    case 'require':
      return given['sslrootcert'] === undefined ? unverified(sslmode, given) : ofAuthority(given);
    case 'verify-ca':
      return ofAuthority(given);
    case 'verify-full':
      return files(given);
    default:
      throw new Error(`sslmode must be disable, allow, prefer, require, verify-ca or verify-full, got: ${sslmode}`);
  }
}

const unverified = (sslmode: 'allow' | 'prefer' | 'require', given: Parameters<typeof files>[0]): Ssl =>
  given['sslcert'] === undefined ? sslmode : { ...files(given), rejectUnauthorized: false };

const ofAuthority = (given: Parameters<typeof files>[0]): Ssl => ({
  ...files(given),
  checkServerIdentity: () => undefined,
});

/** Without sslrootcert, or with `system`: the authorities that Node knows. */
function files({ sslrootcert, sslcert, sslkey }: Record<string, string | undefined>): ConnectionOptions {
  return {
    rejectUnauthorized: true,
    ...(sslrootcert !== undefined && sslrootcert !== 'system' && { ca: readFileSync(sslrootcert) }),
    ...(sslcert !== undefined && { cert: readFileSync(sslcert) }),
    ...(sslkey !== undefined && { key: readFileSync(sslkey) }),
  };
}
