import type { Answered, Begun, Chosen, OperationObserver } from '../lib/observer.ts';
import type { OperationSpan } from './tracing.ts';

/** What is counted of operations. */
export interface OperationMeter {
  chose: (place: Chosen) => void;
  ended: (operation: string, kind: string, outcome: string, seconds: number) => void;
}

/** One operation, for the log. Nothing in it is about a person: no address, no name, no variable, no bookmark. */
export interface OperationLine extends Partial<Answered> {
  requestId: string | undefined;
  via: string;
  operation: string;
  kind: string;
  outcome: string;
  durationMs: number;
}

export interface OperationSinks {
  /** A name that a client gave, as a label. */
  label: (name: string | undefined) => string;
  meter: OperationMeter | undefined;
  log: ((line: OperationLine) => void) | undefined;
}

/** One operation from its start to its end, told to the metrics, the log and the trace. */
export class OperationWatch implements OperationObserver {
  readonly #sinks: OperationSinks;
  readonly #begun: Begun;
  readonly #span: OperationSpan | undefined;
  readonly #startedAt = performance.now();
  /** Undefined: it was refused before its document was valid. */
  #name: { given: string | undefined } | undefined;
  #kind = 'unknown';
  #isOver = false;

  constructor(sinks: OperationSinks, begun: Begun, span: OperationSpan | undefined) {
    this.#sinks = sinks;
    this.#begun = begun;
    this.#span = span;
  }

  /** Asked for again each time: what it is counted under may have gone meanwhile. */
  get #operation(): string {
    return this.#name ? this.#sinks.label(this.#name.given) : 'unknown';
  }

  get trace(): unknown {
    return this.#span;
  }

  known(kind: string, name: string | undefined): void {
    this.#name = { given: name };
    this.#kind = this.#begun.via === 'rest' ? 'rest' : kind;
    this.#span?.known(this.#kind, this.#operation);
  }

  chose(place: Chosen): void {
    this.#sinks.meter?.chose(place);
    this.#span?.chose(place);
  }

  ended(outcome: string, answered?: Answered): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const ms = performance.now() - this.#startedAt;
    this.#sinks.meter?.ended(this.#operation, this.#kind, outcome, ms / 1000);
    this.#sinks.log?.({ ...this.#facts(outcome, answered), durationMs: Math.round(ms * 100) / 100 });
    this.#span?.ended(outcome, answered);
  }

  within<T>(work: () => T): T {
    return this.#span ? this.#span.within(work) : work();
  }

  #facts(outcome: string, answered: Answered | undefined): Omit<OperationLine, 'durationMs'> {
    const { requestId, via } = this.#begun;
    const { source, waitedMs, fallback } = answered ?? {};
    const place = source !== undefined && { source, waitedMs: Math.round(waitedMs! * 100) / 100 };
    const named = { requestId, via, operation: this.#operation, kind: this.#kind, outcome };
    return { ...named, ...place, ...(fallback !== undefined && { fallback }) };
  }
}
