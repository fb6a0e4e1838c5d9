import { randomBytes } from 'node:crypto';
import type { ApolloServerPlugin } from '@apollo/server';
import { allTables, type Declaration } from '../declare/declaration.ts';

const CDN = 'https://embeddable-sandbox.cdn.apollographql.com';
const FRAME = 'https://sandbox.embed.apollographql.com';

/** Of the first table. */
function firstOperation([table]: readonly Declaration[]): string {
  if (!table) return '{ __typename }';
  const fields = table.columns.filter(({ kind }) => kind !== 'reference').map(({ field }) => field);
  return `query First {
  ${table.many}(first: 5) {
    totalCount
    nodes {
      ${fields.slice(0, 4).join('\n      ')}
    }
  }
  replication {
    replicas {
      name
      state
      lagMs
    }
  }
}
`;
}

const settings = () => ({
  target: '#sandbox',
  runTelemetry: false,
  hideCookieToggle: false,
  allowDynamicStyles: false,
  initialState: {
    document: firstOperation(allTables()),
    variables: {},
    headers: { 'Readback-Consistency': 'session' },
    // The bookmark is in a cookie: what you wrote in one tab, you read in the next.
    includeCookies: true,
    pollForSchemaUpdates: false,
  },
});

/** Apollo Sandbox at GET /graphql. The plugin of Apollo Server has no way to say where subscriptions go. */
export function sandbox(): ApolloServerPlugin {
  return { serverWillStart: async () => ({ renderLandingPage: async () => ({ html: async () => page() }) }) };
}

const policyOf = (nonce: string) =>
  [
    "default-src 'none'",
    `script-src 'nonce-${nonce}' ${CDN}`,
    `style-src 'nonce-${nonce}'`,
    `frame-src ${FRAME}`,
    "connect-src 'self'",
    'img-src data:',
    "base-uri 'none'",
  ].join('; ');

function page(): string {
  const nonce = randomBytes(16).toString('base64url');
  return `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <meta http-equiv="Content-Security-Policy" content="${policyOf(nonce)}" />
    <meta name="viewport" content="width=device-width, initial-scale=1" />
    <link rel="icon" href="data:," />
    <title>Sandbox · Readback</title>
    <style nonce="${nonce}">
      body { margin: 0; font: 16px/1.5 system-ui, sans-serif; }
      #sandbox, iframe { position: absolute; inset: 0; width: 100%; height: 100%; border: 0; }
      #offline { padding: 2rem; }
    </style>
  </head>
  <body>
    <p id="offline">Apollo Sandbox comes from Apollo's servers. Without them, the <a href="/explore">explorer</a> does the same.</p>
    <div id="sandbox"></div>
    <script nonce="${nonce}" src="${CDN}/v2/embeddable-sandbox.umd.production.min.js"></script>
    <script nonce="${nonce}">
      const here = location.origin + location.pathname;
      if (window.EmbeddedSandbox) {
        new window.EmbeddedSandbox({
          ...${JSON.stringify(settings()).replaceAll('<', '\\u003c')},
          initialEndpoint: here,
          initialSubscriptionEndpoint: here.replace(/^http/, 'ws'),
        });
      }
    </script>
  </body>
</html>
`;
}
