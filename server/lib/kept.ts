interface Known<Key, Made> {
  get: (key: Key) => Made | undefined;
  set: (key: Key, made: Made) => unknown;
}

/** What is known by the key; made when it is first asked for. */
export function kept<Key, Made>(known: Known<Key, Made>, key: Key, make: (key: Key) => Made): Made {
  const there = known.get(key);
  if (there !== undefined) return there;
  const made = make(key);
  known.set(key, made);
  return made;
}
