export function commitOf(name: string, from?: string): string;
export function builtCommit(commit: string, folders?: { from?: string; into?: string }): Promise<string>;
