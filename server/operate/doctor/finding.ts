import type { Attaching } from '../attach.ts';
import type { OperatedServer } from '../../setup/servers.ts';

/**
 * error: replication or the server does not work, or data is lost. warning: it will come to that, or works by chance.
 * advice: all is well, and could be safer.
 */
export type Severity = 'error' | 'warning' | 'advice';

export interface Finding {
  /** What is wrong, by a name that stays. */
  check: string;
  severity: Severity;
  server: string;
  /** What it was judged by: its words are made of that. */
  values: readonly unknown[];
  found: string;
  expected: string;
  remedy: string;
  fix?: Fix;
}

/** A repair of a server that a finding asks for; `subject` is the table or slot that it is about. */
export interface Fix {
  name: string;
  server: string;
  subject?: string;
}

/** A repair that loses nothing which is not lost already. */
export interface Repair {
  /** It stays. */
  name: string;
  /** In words, for the question before it. */
  does: (subject: string) => string;
  run: (server: OperatedServer, context: Attaching, subject: string) => Promise<unknown>;
  /** It is of the subscription: nothing is left to do where that is made again. */
  isOfSubscription?: boolean;
}

interface Words {
  /** Left out: error. */
  severity?: Severity;
  found: string;
  expected: string;
  remedy: string;
  fix?: Repair;
  subject?: string;
}

/** A kind of finding: what it is called, and how its words and its repair are made of what was judged. */
export const kind =
  <Values extends unknown[]>(check: string, tell: (...values: Values) => Words) =>
  (server: string, ...values: Values): Finding => {
    const { severity = 'error', found, expected, remedy, fix, subject } = tell(...values);
    const asked = fix && { fix: { name: fix.name, server, ...(subject !== undefined && { subject }) } };
    return { check, severity, server, values, found, expected, remedy, ...asked };
  };

const ORDER: Severity[] = ['error', 'warning', 'advice'];

/** The worst first; of the same severity in the order found, which is from cause to consequence. */
export const bySeverity = (findings: Finding[]): Finding[] =>
  findings.toSorted((a, b) => ORDER.indexOf(a.severity) - ORDER.indexOf(b.severity));

/** Advice is no fault. */
export const isFault = ({ severity }: Finding): boolean => severity !== 'advice';

export const megabytes = (bytes: number | null) => `${((bytes ?? 0) / 1_048_576).toFixed(1)} MB`;
