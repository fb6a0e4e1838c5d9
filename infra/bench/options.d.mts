interface Question {
  id: string;
  variants: string[];
  compared?: Record<string, string>;
}

export const usage: string;
export function readOptions(args: string[], questions: Question[]): { questions: Question[]; variants: string[] };
