/** Where the servers stand in the picture, and the ways between them. Numbers are CSS pixels. */
export interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface Layout {
  width: number;
  height: number;
  browser: Box;
  primary: Box;
  replicas: Box[];
  /** SVG paths: browser to primary, primary to each replica, each replica back to the browser. */
  write: string;
  replicate: string[];
  answer: string[];
  /** Where the words beside the ways stand. */
  labels: { write: Point; replicate: Point; answer: Point };
}

interface Point {
  x: number;
  y: number;
  anchor: 'start' | 'middle' | 'end';
}

const SERVER = { width: 218, height: 112 };
const BROWSER = { width: 128, height: 64 };
const GAP = 20;
/** Below this there is no room for three columns. */
const WIDE = 700;

export const layoutOf = (width: number, replicas: number): Layout =>
  width >= WIDE ? wide(width, replicas) : narrow(width, replicas);

/** The browser on the left, the primary in the middle, the replicas on the right; answers come back below. */
function wide(width: number, count: number): Layout {
  const column = count * SERVER.height + (count - 1) * GAP;
  const bottom = Math.max(column, SERVER.height) + 2;
  const middle = bottom / 2;
  const browser = { x: 1, y: middle - BROWSER.height / 2, ...BROWSER };
  const right = width - SERVER.width - 1;
  const primary = { x: (browser.width + right - SERVER.width) / 2 + 1, y: middle - SERVER.height / 2, ...SERVER };
  const boxes = Array.from({ length: count }, (_, index) => ({
    x: right,
    y: 1 + index * (SERVER.height + GAP),
    ...SERVER,
  }));
  const floor = bottom + 30;
  return {
    width,
    height: floor + 2,
    browser,
    primary,
    replicas: boxes,
    write: line(browser.x + browser.width, middle, primary.x, middle),
    replicate: boxes.map((box) => curve(primary.x + primary.width, middle, box.x, box.y + box.height / 2)),
    answer: boxes.map((box, index) => {
      const start = box.x + box.width / 2 + index * 14;
      const end = browser.x + browser.width / 2;
      return `M${start} ${box.y + box.height} V${floor - 12} Q${start} ${floor} ${start - 12} ${floor} H${end + 12} Q${end} ${floor} ${end} ${floor - 12} V${browser.y + browser.height + 7}`;
    }),
    labels: {
      write: { x: (browser.x + browser.width + primary.x) / 2, y: middle - 10, anchor: 'middle' },
      replicate: besideCurves(primary.x + primary.width, right, middle, count),
      answer: { x: primary.x + primary.width / 2, y: floor - 9, anchor: 'middle' },
    },
  };
}

/** Where no way runs: above the only one, or where they have parted. */
function besideCurves(from: number, to: number, middle: number, count: number): Point {
  if (count === 1) return { x: (from + to) / 2, y: middle - 10, anchor: 'middle' };
  return { x: to - 14, y: count % 2 === 0 ? middle + 4 : middle - 10, anchor: 'end' };
}

/** From top to bottom; answers come back along the right edge. */
function narrow(width: number, count: number): Layout {
  const edge = 26;
  const full = width - edge - 1;
  const browser = { x: 1, y: 1, width: full, height: 48 };
  const step = 42;
  const primary = { x: 1, y: browser.y + browser.height + step, width: full, height: SERVER.height };
  const first = primary.y + primary.height + step;
  const boxes = Array.from({ length: count }, (_, index) => ({
    x: 1,
    y: first + index * (SERVER.height + GAP),
    width: full,
    height: SERVER.height,
  }));
  const x = 34;
  const side = width - 8;
  return {
    width,
    height: first + count * (SERVER.height + GAP) - GAP + 2,
    browser,
    primary,
    replicas: boxes,
    write: line(x, browser.y + browser.height, x, primary.y),
    replicate: boxes.map((box, index) =>
      index === 0 ? line(x, primary.y + primary.height, x, box.y) : `M${x} ${box.y - GAP} V${box.y - 7}`,
    ),
    answer: boxes.map((box) => {
      const from = box.y + box.height / 2;
      const to = browser.y + browser.height / 2;
      return `M${box.x + box.width} ${from} H${side - 10} Q${side} ${from} ${side} ${from - 10} V${to + 10} Q${side} ${to} ${side - 10} ${to} H${browser.x + browser.width + 7}`;
    }),
    labels: {
      write: { x: x + 12, y: browser.y + browser.height + step / 2 + 4, anchor: 'start' },
      replicate: { x: x + 12, y: primary.y + primary.height + step / 2 + 4, anchor: 'start' },
      answer: { x: full, y: browser.y + browser.height + step / 2 + 4, anchor: 'end' },
    },
  };
}

/** Ends before the arrow's head. */
function line(x1: number, y1: number, x2: number, y2: number): string {
  return x1 === x2 ? `M${x1} ${y1} V${y2 - 7}` : `M${x1} ${y1} H${x2 - 7}`;
}

function curve(x1: number, y1: number, x2: number, y2: number): string {
  const middle = (x1 + x2) / 2;
  return y1 === y2 ? line(x1, y1, x2, y2) : `M${x1} ${y1} C${middle} ${y1} ${middle} ${y2} ${x2 - 7} ${y2}`;
}
