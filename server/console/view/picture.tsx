import { useEffect, useState } from 'preact/hooks';
import { feed } from '../state/live.ts';
import type { Replica, Replication } from '../state/replication.ts';
import { duration, healthOf, label, stateWords, type Health } from '../state/words.ts';
import { way } from '../state/write.ts';
import { layoutOf, type Box, type Layout } from './layout.ts';

/** The servers and what flows between them. What it says is said in words too, for those who do not see it. */
export function Picture({ now, width }: { now: Replication; width: number }) {
  const layout = layoutOf(width, now.replicas.length);
  return (
    <>
      <svg class="servers" width={layout.width} height={layout.height} aria-hidden="true">
        <Ways layout={layout} replicas={now.replicas} />
        <Pulses layout={layout} source={now.replicas.findIndex(({ name }) => name === now.feed.source)} />
        <BrowserBox box={layout.browser} />
        <PrimaryBox box={layout.primary} primary={now.primary} />
        {now.replicas.map((replica, index) => (
          <ReplicaBox
            key={replica.name}
            box={layout.replicas[index]!}
            replica={replica}
            isSource={replica.name === now.feed.source}
          />
        ))}
      </svg>
      <InWords now={now} />
    </>
  );
}

function Ways({ layout, replicas }: { layout: Layout; replicas: readonly Replica[] }) {
  const { write, replicate, answer } = layout.labels;
  return (
    <g class="ways">
      <Head />
      <path class="way" d={layout.write} marker-end="url(#head)" />
      {layout.replicate.map((path, index) => (
        <path key={path} class="way" d={path} data-health={healthOf(replicas[index]!)} marker-end="url(#head)" />
      ))}
      {layout.answer.map((path) => (
        <path key={path} class="way" d={path} marker-end="url(#head)" />
      ))}
      <Label {...write} text="writes" />
      <Label {...replicate} text="replicates" />
      <Label {...answer} text="reads and change feed" />
    </g>
  );
}

const Head = () => (
  <marker
    id="head"
    class="head"
    viewBox="0 0 8 8"
    refX="1"
    refY="4"
    markerWidth="8"
    markerHeight="8"
    markerUnits="userSpaceOnUse"
    orient="auto"
  >
    <path d="M0 0 8 4 0 8z" />
  </marker>
);

const Label = ({ x, y, anchor, text }: { x: number; y: number; anchor: string; text: string }) => (
  <text class="way-label" x={x} y={y} text-anchor={anchor}>
    {text}
  </text>
);

function BrowserBox({ box }: { box: Box }) {
  return (
    <g class="box browser" transform={`translate(${box.x} ${box.y})`}>
      <rect width={box.width} height={box.height} rx="12" />
      <text class="name" x={box.width / 2} y={box.height / 2 + 5} text-anchor="middle">
        This browser
      </text>
    </g>
  );
}

function PrimaryBox({ box, primary }: { box: Box; primary: Replication['primary'] }) {
  const words = primary.reachable ? 'Running' : 'Does not answer';
  return (
    <Server
      box={box}
      kind="primary"
      name="Primary"
      role="takes every write"
      health={primary.reachable ? 'well' : 'stopped'}
      words={words}
      position={primary.position}
      lag={null}
    />
  );
}

function ReplicaBox({ box, replica, isSource }: { box: Box; replica: Replica; isSource: boolean }) {
  return (
    <Server
      box={box}
      kind="replica"
      name={label(replica.name)}
      role={isSource ? 'serves reads and feed' : 'serves reads'}
      health={healthOf(replica)}
      words={stateWords(replica)}
      position={replica.position}
      lag={replica.lagMs}
    />
  );
}

interface ServerProps {
  box: Box;
  kind: 'primary' | 'replica';
  name: string;
  role: string;
  health: Health;
  words: string;
  position: string | null;
  lag: number | null;
}

function Server({ box, kind, name, role, health, words, position, lag }: ServerProps) {
  return (
    <g class={`box ${kind}`} data-health={health} data-server={name} transform={`translate(${box.x} ${box.y})`}>
      <rect width={box.width} height={box.height} rx="12" />
      <rect class="stripe" x="0" y="14" width="4" height={box.height - 28} rx="2" />
      <text class="name" x="18" y="27">
        {name}
      </text>
      <text class="role" x="18" y="46">
        {role}
      </text>
      <g class="state" data-health={health}>
        <Sign health={health} />
        <text class="words" x="36" y="73">
          {words}
        </text>
      </g>
      <text class="position" x="18" y="96">
        {position ?? 'position not known'}
      </text>
      {lag !== null && (
        <text class="lag" x={box.width - 14} y="96" text-anchor="end">
          {duration(lag)} behind
        </text>
      )}
    </g>
  );
}

/** A shape for each health: colour alone does not tell everybody. */
function Sign({ health }: { health: Health }) {
  if (health === 'well') return <circle class="sign" cx="24" cy="69" r="5.500" />;
  if (health === 'late') return <path class="sign" d="M24 62.500 30.500 74.500H17.500z" />;
  return <rect class="sign" x="18.500" y="63.500" width="11" height="11" rx="2" />;
}

const PULSE_MS = 900;
/** More at once would only blur. */
const MOST_PULSES = 6;

interface Pulse {
  id: number;
  path: 'write' | 'change';
}

let serial = 0;

/** A dot for each write that goes out, and for each change that comes back. */
function Pulses({ layout, source }: { layout: Layout; source: number }) {
  const [pulses, setPulses] = useState<readonly Pulse[]>([]);
  const add = (path: Pulse['path']) => {
    const id = ++serial;
    setPulses((all) => [...all.slice(1 - MOST_PULSES), { id, path }]);
    setTimeout(() => setPulses((all) => all.filter((pulse) => pulse.id !== id)), 2 * PULSE_MS);
  };
  const sentAt = way.value?.sentAt;
  const total = feed.total.value;
  useEffect(() => {
    if (sentAt !== undefined) add('write');
  }, [sentAt]);
  useEffect(() => {
    if (total > 0) add('change');
  }, [total]);
  const paths = (pulse: Pulse) =>
    pulse.path === 'write' ? [layout.write] : [layout.replicate[source], layout.answer[source]];
  return (
    <g class="pulses">
      {pulses.flatMap((pulse) =>
        paths(pulse).map(
          (path, index) =>
            path !== undefined && (
              <circle
                key={`${pulse.id} ${index}`}
                r="5"
                data-path={pulse.path}
                style={{ offsetPath: `path("${path}")`, animationDelay: `${index * PULSE_MS * 0.6}ms` }}
              />
            ),
        ),
      )}
    </g>
  );
}

function InWords({ now }: { now: Replication }) {
  return (
    <ul class="unseen" aria-label="State of the servers">
      <li>
        Primary: {now.primary.reachable ? 'running' : 'does not answer'}, at position{' '}
        {now.primary.position ?? 'unknown'}
      </li>
      {now.replicas.map((replica) => (
        <li key={replica.name}>
          {label(replica.name)}: {stateWords(replica)}, at position {replica.position ?? 'unknown'}
          {replica.lagMs !== null && `, ${duration(replica.lagMs)} behind`}
        </li>
      ))}
    </ul>
  );
}
