/** The part of pino that this project uses. */
export interface Logger {
  error(details: object, message: string): void;
  warn(details: object, message: string): void;
  info(details: object, message: string): void;
}

/** Where a command says what it does, line by line. */
export type Say = (line: string) => void;
