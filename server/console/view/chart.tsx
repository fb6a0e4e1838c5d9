import { signal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import { now } from '../api/time.ts';
import { SPAN_MS } from '../state/measures.ts';
import { duration } from '../state/words.ts';
import { useSize } from './use-size.ts';

export interface Line {
  name: string;
  at: number[];
  ms: (number | null)[];
  isDots: boolean;
}

interface ChartProps {
  title: string;
  explanation: string;
  value: string;
  label: string;
  lines: readonly Line[];
}

const COLOURS = ['--line-1', '--line-2', '--line-3', '--line-4'];

/** Colours are drawn into the picture: a change of theme draws it again. */
const dark = matchMedia('(prefers-color-scheme: dark)');
const isDark = signal(dark.matches);
dark.addEventListener('change', () => (isDark.value = dark.matches));

export function Chart({ title, explanation, value, label, lines }: ChartProps) {
  const [ref, { width, height }] = useSize<HTMLDivElement>();
  return (
    <figure class="chart">
      <figcaption>
        <span class="chart-title">{title}</span>
        <span class="chart-value">
          {value} <small>{label}</small>
        </span>
        <span class="chart-explanation">{explanation}</span>
      </figcaption>
      <div ref={ref} class="chart-area" role="img" aria-label={`${title} over the last two minutes: ${value} ${label}`}>
        {width > 0 && <Plot width={width} height={height} lines={lines} />}
      </div>
      {lines.length > 1 && (
        <ul class="legend">
          {lines.map(({ name }, index) => (
            <li key={name} data-line={(index % COLOURS.length) + 1}>
              {name}
            </li>
          ))}
        </ul>
      )}
    </figure>
  );
}

function Plot({ width, height, lines }: { width: number; height: number; lines: readonly Line[] }) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const shape = lines.map(({ name, isDots }) => `${name} ${isDots}`).join();
  useEffect(() => {
    plot.current = new uPlot(optionsOf(lines, width, height), dataOf(lines), place.current!);
    return () => plot.current?.destroy();
  }, [shape, isDark.value]);
  useEffect(() => plot.current?.setSize({ width, height }), [width, height]);
  useEffect(() => plot.current?.setData(dataOf(lines)));
  return <div ref={place} />;
}

/** All lines of one chart are sampled at the same times. In seconds from now, as the axis tells them. */
function dataOf(lines: readonly Line[]): uPlot.AlignedData {
  const time = now();
  return [(lines[0]?.at ?? []).map((at) => (at - time) / 1000), ...lines.map(({ ms }) => ms)];
}

function optionsOf(lines: readonly Line[], width: number, height: number): uPlot.Options {
  const style = getComputedStyle(document.documentElement);
  const colour = (name: string) => style.getPropertyValue(name).trim();
  const axis = { stroke: colour('--text-quiet'), font: '12px system-ui, sans-serif', ticks: { show: false } };
  const grid = { stroke: colour('--rule'), width: 1 };
  return {
    width,
    height,
    legend: { show: false },
    cursor: { show: false },
    padding: [12, 14, 0, 0],
    scales: {
      x: { time: false, range: [-SPAN_MS / 1000, 0] },
      y: { range: (_, __, most) => [0, Math.max(10, most * 1.15)] },
    },
    axes: [
      {
        ...axis,
        grid: { show: false },
        size: 28,
        splits: [-120, -60, 0],
        values: (_, marks) => marks.map(agoOf),
      },
      {
        ...axis,
        grid,
        size: 58,
        space: 36,
        values: (_, marks) => marks.map((mark) => (mark === 0 ? '0' : duration(mark).replace('.0', ''))),
      },
    ],
    series: [{}, ...lines.map(({ isDots }, index) => seriesOf(colour(COLOURS[index % COLOURS.length]!), isDots))],
  };
}

const agoOf = (seconds: number) => (seconds === 0 ? 'now' : `${-seconds / 60} min ago`);

const seriesOf = (colour: string, isDots: boolean): uPlot.Series =>
  isDots
    ? { stroke: colour, fill: colour, paths: () => null, points: { show: true, size: 5, fill: colour, stroke: colour } }
    : { stroke: colour, width: 2, fill: `${colour}1f`, points: { show: false } };
