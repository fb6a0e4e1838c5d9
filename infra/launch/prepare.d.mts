/** Each resolves with an exit code, 0 also when there was nothing to do. */
export function installMissing(): Promise<number>;
export function buildChanged(): Promise<number>;
/** A digest of what the build reads. */
export function sources(): string;
