import { ranked, shown } from './table.mjs';

const [WIDTH, LEFT, RIGHT, BAR, GAP, HEAD] = [760, 150, 90, 18, 8, 34];

const escaped = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');

/** Bars of the medians, best first, with a line from the least to the greatest round. */
export function picture(title, groups) {
  const drawn = [];
  let y = 8;
  for (const measure of groups) {
    drawn.push(`<text x="8" y="${y + 18}" class="head">${escaped(headOf(measure))}</text>`);
    y += HEAD;
    const rows = ranked(measure);
    const most = Math.max(...rows.flatMap(({ rounds }) => rounds), Number.MIN_VALUE);
    for (const row of rows) {
      drawn.push(bar(row, y, (value) => (Math.max(0, value) / most) * (WIDTH - LEFT - RIGHT)));
      y += BAR + GAP;
    }
    y += GAP;
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${y}" width="${WIDTH}" height="${y}" role="img" aria-label="${escaped(title)}">
<style>${STYLE}</style>
<rect width="${WIDTH}" height="${y}" class="paper"/>
${drawn.join('\n')}
</svg>
`;
}

const headOf = ({ title, better }) => `${title} (${better} is better)`;

function bar({ name, rounds, median }, y, scale) {
  const [least, most] = [Math.min(...rounds), Math.max(...rounds)].map((value) => (LEFT + scale(value)).toFixed(1));
  const middle = y + BAR / 2;
  return [
    `<text x="${LEFT - 8}" y="${middle + 4}" class="name${name === 'readback' ? ' ours' : ''}">${escaped(name)}</text>`,
    `<rect x="${LEFT}" y="${y}" width="${scale(median).toFixed(1)}" height="${BAR}" class="${name === 'readback' ? 'ours' : 'bar'}"/>`,
    `<line x1="${least}" x2="${most}" y1="${middle}" y2="${middle}"/>`,
    `<text x="${Number(most) + 6}" y="${middle + 4}">${shown(median)}</text>`,
  ].join('');
}

const STYLE = [
  'text{font:13px system-ui,sans-serif;fill:#1f2328}',
  '.head{font-weight:600}.name{text-anchor:end}text.ours{font-weight:600}',
  '.paper{fill:#fff}.bar{fill:#a8b3c1}rect.ours{fill:#2563eb}line{stroke:#1f2328;stroke-width:1.5}',
  '@media(prefers-color-scheme:dark){text{fill:#e6edf3}.paper{fill:#0d1117}.bar{fill:#57606a}rect.ours{fill:#6ea8fe}line{stroke:#e6edf3}}',
].join('');
