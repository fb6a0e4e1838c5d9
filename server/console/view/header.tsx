import { connection } from '../api/socket.ts';

const WORDS = { connecting: 'Connecting…', open: 'Connected', lost: 'Connection lost – trying again' };
const HEALTH = { connecting: 'late', open: 'well', lost: 'stopped' };

export function Header() {
  return (
    <header class="top">
      <div class="brand">
        <h1>Readback</h1>
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
