import { createServer } from 'node:http';

/** For the variants that have no database: `POST` a list of events, and `publish` is called with each. */
export function createPublishing(publish) {
  return createServer((request, response) => {
    let text = '';
    request.setEncoding('utf8').on('data', (chunk) => (text += chunk));
    request.on('end', () => {
      for (const event of JSON.parse(text || '[]')) publish(event);
      response.end();
    });
  });
}
