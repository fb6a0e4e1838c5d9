/** A number of a JSON value that has more digits than this browser's numbers: it goes back as it came. */
export class Digits {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }

  toJSON(): unknown {
    return (JSON as { rawJSON?: (text: string) => unknown }).rawJSON?.(this.text) ?? Number(this.text);
  }
}

/** For JSON.parse. Browsers that do not hand on the source keep what a double has of it. */
export const exactly = (_: string, value: unknown, context?: { source?: string }): unknown =>
  typeof value === 'number' && context?.source !== undefined && String(value) !== context.source
    ? new Digits(context.source)
    : value;
