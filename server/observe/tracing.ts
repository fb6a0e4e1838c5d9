import { AsyncLocalStorage } from 'node:async_hooks';
import {
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
  type Context,
  type Span,
  type Tracer,
} from '@opentelemetry/api';
import { parseTraceParent } from '@opentelemetry/core';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { detectResources, envDetector, resourceFromAttributes } from '@opentelemetry/resources';
import { BasicTracerProvider, BatchSpanProcessor } from '@opentelemetry/sdk-trace-base';
import type { Answered, Batched, Begun, Chosen, Turn } from '../lib/observer.ts';

/** Only the types of this file are imported by others: what it stands on is loaded where traces are asked for. */
export interface OperationSpan {
  known(kind: string, operation: string): void;
  chose(place: Chosen): void;
  ended(outcome: string, answered: Answered | undefined): void;
  within<T>(work: () => T): T;
}

/** What code runs for. The span comes when the operation has begun, below the place where the request was taken. */
interface Scope {
  context: Context | undefined;
}

/** What the server itself failed at; other codes are about what was asked for. */
const OWN_FAULTS = new Set(['INTERNAL_SERVER_ERROR', 'PRIMARY_UNAVAILABLE', 'REPLICA_UNAVAILABLE', 'TIMEOUT']);
const MOST_LINKS = 32;

/** Sends spans to a collector, by OTLP over HTTP. No span holds a value of a variable, a statement or a row. */
export class Tracing {
  readonly #provider: BasicTracerProvider;
  readonly #tracer: Tracer;
  readonly #scope = new AsyncLocalStorage<Scope>();

  /** `endpoint`: the collector's, without `/v1/traces`. */
  constructor(endpoint: string) {
    const exporter = new OTLPTraceExporter({ url: `${endpoint.replace(/\/+$/, '')}/v1/traces` });
    this.#provider = new BasicTracerProvider({
      resource: resourceFromAttributes({ 'service.name': 'readback' }).merge(
        detectResources({ detectors: [envDetector] }),
      ),
      spanProcessors: [new BatchSpanProcessor(exporter)],
    });
    this.#tracer = this.#provider.getTracer('readback');
  }

  /** Sends what is left. */
  stop(): Promise<void> {
    return this.#provider.shutdown();
  }

  together(work: () => void): void {
    this.#scope.run({ context: undefined }, work);
  }

  operation({ requestId, via, traceparent }: Begun): OperationSpan {
    const remote = traceparent === undefined ? null : parseTraceParent(traceparent);
    const parent = remote ? trace.setSpanContext(ROOT_CONTEXT, { ...remote, isRemote: true }) : ROOT_CONTEXT;
    const attributes = { 'readback.via': via, ...(requestId !== undefined && { 'readback.request_id': requestId }) };
    const span = this.#tracer.startSpan('operation', { kind: SpanKind.SERVER, attributes }, parent);
    const context = trace.setSpan(parent, span);
    const scope = this.#scope.getStore();
    if (scope) scope.context = context;
    return new TracedOperation(this.#tracer, this.#scope, span, context);
  }

  /** Under the first that asked; the others are linked. */
  async batch<T>({ loader, keys, askedBy }: Batched, run: () => Promise<T>): Promise<T> {
    const [first, ...others] = askedBy.filter((asker) => asker instanceof TracedOperation);
    if (!first) return run();
    const links = others.slice(0, MOST_LINKS).map(({ span }) => ({ context: span.spanContext() }));
    const attributes = { 'readback.loader': loader, 'readback.keys': keys };
    const span = this.#tracer.startSpan(`load ${loader}`, { attributes, links }, first.context);
    try {
      return await this.#scope.run({ context: trace.setSpan(first.context, span) }, run);
    } catch (error) {
      span.setStatus({ code: SpanStatusCode.ERROR });
      throw error;
    } finally {
      span.end();
    }
  }

  /** Undefined where it is part of no operation. */
  statement(pool: string, text: string): Turn | undefined {
    const context = this.#scope.getStore()?.context;
    if (!context) return undefined;
    const verb = verbOf(text);
    const attributes = { 'db.system.name': 'postgresql', 'db.operation.name': verb, 'readback.pool': pool };
    const span = this.#tracer.startSpan(verb, { kind: SpanKind.CLIENT, attributes }, context);
    return { began: () => void span.addEvent('has a connection'), ended: () => span.end() };
  }
}

class TracedOperation implements OperationSpan {
  readonly span: Span;
  readonly context: Context;
  readonly #tracer: Tracer;
  readonly #scope: AsyncLocalStorage<Scope>;

  constructor(tracer: Tracer, scope: AsyncLocalStorage<Scope>, span: Span, context: Context) {
    this.#tracer = tracer;
    this.#scope = scope;
    this.span = span;
    this.context = context;
  }

  known(kind: string, operation: string): void {
    this.span.updateName(`${kind} ${operation}`);
    this.span.setAttributes({ 'graphql.operation.type': kind, 'graphql.operation.name': operation });
  }

  /** A wait is told of when it is over. */
  chose({ name, waitedMs, fallback }: Chosen): void {
    if (waitedMs === 0) return;
    const startTime = Date.now() - waitedMs;
    const attributes = { 'readback.source': name, ...(fallback !== undefined && { 'readback.fallback': fallback }) };
    this.#tracer.startSpan('wait for bookmark', { startTime, attributes }, this.context).end();
  }

  ended(outcome: string, answered: Answered | undefined): void {
    if (answered) this.span.setAttributes(placeOf(answered));
    if (outcome !== 'ok') this.span.setAttribute('error.type', outcome);
    if (OWN_FAULTS.has(outcome)) this.span.setStatus({ code: SpanStatusCode.ERROR });
    this.span.end();
  }

  within<T>(work: () => T): T {
    return this.#scope.run({ context: this.context }, work);
  }
}

const placeOf = ({ source, waitedMs, fallback }: Answered) => ({
  'readback.source': source,
  'readback.waited_ms': waitedMs,
  ...(fallback !== undefined && { 'readback.fallback': fallback }),
});

const verbOf = (text: string) => /^\s*([a-z]+)/i.exec(text)?.[1]?.toLowerCase() ?? 'statement';
