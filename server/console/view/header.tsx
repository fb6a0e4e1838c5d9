import { connection } from '../api/socket.ts';

const WORDS = { connecting: 'Connecting…', open: 'Connected', lost: 'Connection lost – trying again' };
const HEALTH = { connecting: 'late', open: 'well', lost: 'stopped' };

export function Header() {
  return (
    <header class="top">
      <div class="brand">
        <h1>
          <Mark />
          Readback
        </h1>
        <p>Writes go to the primary, reads come from a replica, and the replica tells when a write has arrived.</p>
      </div>
      <p class="pill" role="status" data-health={HEALTH[connection.value]} data-connection={connection.value}>
        {WORDS[connection.value]}
      </p>
      <nav aria-label="Other pages">
        <a href="/explore">Explorer</a>
        <a href="/graphql">Sandbox</a>
        <a href="/health">Health</a>
      </nav>
    </header>
  );
}

const Mark = () => (
  <svg class="mark" viewBox="0 0 32 32" width="26" height="26" aria-hidden="true">
    <rect width="32" height="32" rx="8" />
    <path d="M8 12h13a4 4 0 0 1 0 8H10m4-4.500-5 4.500 5 4.500" />
  </svg>
);
