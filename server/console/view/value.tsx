import type { Shown } from '../state/values.ts';

/** A value, set by its kind; what is cut off stands in its title. */
export function Value({ shown: { kind, text, full }, isFull = false }: { shown: Shown; isFull?: boolean }) {
  return (
    <span class="value" data-kind={kind} title={!isFull && full !== text ? full : undefined}>
      {isFull ? full : text}
    </span>
  );
}
