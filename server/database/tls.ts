import { readFileSync } from 'node:fs';
import { createSecureContext, type ConnectionOptions, type SecureVersion } from 'node:tls';
import { SetupError } from '../lib/errors.ts';

type Ssl = false | 'prefer' | ConnectionOptions;
type Parameters = Readonly<Record<string, string | undefined>>;

const FILES = { sslrootcert: 'ca', sslcert: 'cert', sslkey: 'key', sslcrl: 'crl' } as const;

/**
 * What a URL says of TLS as the driver takes it, with libpq's meanings: `require` encrypts, `verify-ca` wants a
 * certificate of `sslrootcert`, as does `require` where that is given; `verify-full` wants one for this very host besides.
 * Nothing said is `prefer`, which encrypts where it can; so is `allow`: libpq would do so only where nothing else works.
 * @throws SetupError for a file that cannot be used.
 */
export function readTls(parameters: ReadonlyMap<string, string>): Ssl {
  const given: Parameters = Object.fromEntries(parameters);
  const mode = modeOf(given);
  switch (mode) {
    case 'disable':
      return false;
    case 'require':
      return given['sslrootcert'] === undefined ? unverified(given) : ofAuthority(given);
    case 'verify-ca':
      return ofAuthority(given);
    case 'verify-full':
      return verified(given);
    default:
      return given['sslcert'] === undefined ? 'prefer' : unverified(given);
  }
}

const modeOf = ({ sslmode, sslrootcert }: Parameters): string =>
  sslmode ?? (sslrootcert === 'system' ? 'verify-full' : 'prefer');

const unverified = (given: Parameters): ConnectionOptions => ({ ...verified(given), rejectUnauthorized: false });

const ofAuthority = (given: Parameters): ConnectionOptions => ({
  ...verified(given),
  checkServerIdentity: () => undefined,
});

/** Without sslrootcert, or with `system`: the authorities that Node knows. */
function verified(given: Parameters): ConnectionOptions {
  const named = Object.entries(FILES).flatMap(([name, option]) => {
    const file = given[name];
    return file === undefined || file === 'system' ? [] : [{ name, option, file }];
  });
  const {
    sslpassword: passphrase,
    ssl_min_protocol_version: minVersion,
    ssl_max_protocol_version: maxVersion,
  } = given as Record<string, string | undefined> & Record<`ssl_${'min' | 'max'}_protocol_version`, SecureVersion>;
  const options = {
    ...Object.fromEntries(named.map(({ name, option, file }) => [option, read(name, file)])),
    ...(passphrase !== undefined && { passphrase }),
    ...(minVersion !== undefined && { minVersion }),
    ...(maxVersion !== undefined && { maxVersion }),
  };
  assertUsable(
    options,
    named.map(({ name, file }) => `${name}=${file}`),
  );
  return { rejectUnauthorized: true, ...options };
}

function read(name: string, file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new SetupError(`${name} of a database's URL cannot be read: ${(error as Error).message}`, { cause: error });
  }
}

/** Here rather than at each connection, where the driver has nobody to tell. */
function assertUsable(options: ConnectionOptions, files: string[]): void {
  try {
    createSecureContext(options);
  } catch (error) {
    const what = files.length === 0 ? 'What it says of TLS' : files.join(', ');
    throw new SetupError(`${what} of a database's URL cannot be used: ${(error as Error).message}`, { cause: error });
  }
}
