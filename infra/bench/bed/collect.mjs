/** Loaded before a server whose memory is measured: on SIGUSR2 it collects its garbage, so that what is held is seen. */
process.on('SIGUSR2', () => globalThis.gc());
