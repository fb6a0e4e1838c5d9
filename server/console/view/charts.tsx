import { arrivals, median, samples } from '../state/measures.ts';
import { duration, label } from '../state/words.ts';
import { Chart, type Line } from './chart.tsx';

/** The two times that tell how well replication does. */
export function Charts() {
  return (
    <section class="card charts-panel" aria-labelledby="times">
      <h2 id="times">The last two minutes</h2>
      <div class="charts">
        <LagChart />
        <ArrivalChart />
      </div>
    </section>
  );
}

function LagChart() {
  const all = samples.value;
  const latest = all.at(-1)?.lag ?? {};
  const names = Object.keys(latest);
  const lines: Line[] = names.map((name) => ({
    name: label(name),
    at: all.map(({ at }) => at),
    ms: all.map(({ lag }) => lag[name] ?? null),
    isDots: false,
  }));
  const worst = Math.max(0, ...Object.values(latest).map((ms) => ms ?? 0));
  return (
    <Chart
      title="Replica lag"
      explanation="How old the state of each replica is"
      value={Object.values(latest).some((ms) => ms !== null) ? duration(worst) : '–'}
      label="now"
      lines={lines}
    />
  );
}

function ArrivalChart() {
  const all = arrivals.value;
  const middle = median(all.slice(-100).map(({ ms }) => ms));
  return (
    <Chart
      title="Commit to event"
      explanation="From the commit on the primary to the event in this browser"
      value={middle === null ? '–' : duration(middle)}
      label="median"
      lines={[{ name: 'changes', at: all.map(({ at }) => at), ms: all.map(({ ms }) => ms), isDots: true }]}
    />
  );
}
