import { useEffect, useState } from 'preact/hooks';
import { ahead } from '../api/clock.ts';
import { now } from '../api/time.ts';
import { connection } from '../api/socket.ts';
import { feed } from '../state/live.ts';
import { duration, label } from '../state/words.ts';
import { isDone, type Way } from '../state/way.ts';
import { way } from '../state/write.ts';

interface Step {
  what: string;
  where: string;
  at: number | null;
  kind: 'browser' | 'primary' | 'replica';
}

const DOING = { INSERT: 'Creating', UPDATE: 'Changing', DELETE: 'Deleting' };
const DONE = { INSERT: 'Created', UPDATE: 'Changed', DELETE: 'Deleted' };

/** The latest write's way through the system, as a list of stations on a line of time. */
export function WayPanel() {
  const { value } = way;
  return (
    <section class="card way-panel" aria-labelledby="way">
      <h2 id="way">The way of a write</h2>
      <div class="way-view" aria-live="polite">
        {value ? <Latest way={value} /> : <Hint />}
      </div>
    </section>
  );
}

const Hint = () => (
  <p class="quiet">
    Create, change or delete a row, and see here when the write was committed, applied on each replica, and received
    back.
  </p>
);

function Latest({ way: latest }: { way: Way }) {
  return (
    <>
      <h3>{`${whatOf(latest)} ${latest.title}`}</h3>
      {latest.failure === null ? <Stations way={latest} /> : <p>{latest.failure}</p>}
    </>
  );
}

/** Nothing is done before the server has said so. */
function whatOf({ failure, operation, answeredAt }: Way): string {
  if (failure !== null) return 'Refused:';
  return (answeredAt === null ? DOING : DONE)[operation];
}

function stepsOf(way: Way): Step[] {
  return [
    { what: 'Sent', where: 'this browser', at: way.sentAt, kind: 'browser' },
    { what: 'Committed', where: 'primary', at: way.committedAt, kind: 'primary' },
    ...Object.entries(way.applied).map(([name, at]) => ({
      what: 'Applied',
      where: label(name),
      at,
      kind: 'replica' as const,
    })),
    { what: 'Event received', where: 'this browser', at: way.receivedAt, kind: 'browser' },
  ];
}

function Stations({ way }: { way: Way }) {
  const passed = Math.max(useClock(!isDone(way)) - way.sentAt, 0);
  const steps = stepsOf(way);
  const end = Math.max(...steps.map(({ at }) => (at ?? way.sentAt) - way.sentAt), isDone(way) ? 0 : passed, 1);
  return (
    <>
      <ol class="stations">
        {steps.map((step) => (
          <Station key={`${step.what} ${step.where}`} step={step} since={way.sentAt} end={end} passed={passed} />
        ))}
      </ol>
      <p class="quiet">{footnote(way)}</p>
    </>
  );
}

function Station({ step, since, end, passed }: { step: Step; since: number; end: number; passed: number }) {
  const after = step.at === null ? null : step.at - since;
  const share = Math.min((after ?? passed) / end, 1);
  return (
    <li data-kind={step.kind} data-step={step.what} data-waiting={after === null}>
      <span class="station-what">
        {step.what} <span class="station-where">{step.where}</span>
      </span>
      <span class="station-time">{after === null ? 'waiting…' : after === 0 ? '0 ms' : `+${duration(after)}`}</span>
      <svg class="station-line" width="100%" height="8" aria-hidden="true">
        <rect class="track" width="100%" height="2" y="3" rx="1" />
        <rect class="reach" width={`${(share * 100).toFixed(2)}%`} height="2" y="3" rx="1" />
        {after !== null && <circle cx={`${(1 + share * 98).toFixed(2)}%`} cy="4" r="4" />}
      </svg>
    </li>
  );
}

/** The time, moving on while anything is waited for. */
function useClock(isRunning: boolean): number {
  const [time, setTime] = useState(now());
  useEffect(() => {
    if (!isRunning) return;
    const timer = setInterval(() => setTime(now()), 100);
    return () => clearInterval(timer);
  }, [isRunning]);
  return time;
}

function footnote(way: Way): string {
  if (way.receivedAt === null) return whyNotReceived();
  const lag = `By the servers’ own clocks it was applied ${duration(way.lagMs ?? 0)} after its commit.`;
  const error =
    ahead.value && ` Their times are set to this browser’s clock to within ${duration(ahead.value.withinMs)}.`;
  return `${lag}${error ?? ''}`;
}

function whyNotReceived(): string {
  if (feed.isPaused.value) return 'The feed is paused: the event comes when you resume.';
  if (connection.value === 'lost') return 'The connection is lost: the event comes when it is back.';
  return 'The replica has not sent the change yet.';
}
