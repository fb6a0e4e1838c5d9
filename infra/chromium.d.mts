export const CHROMIUM: string | undefined;
export const CHROMIUM_FLAGS: string[];
