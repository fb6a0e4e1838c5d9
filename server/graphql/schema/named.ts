import type { ClassType } from 'type-graphql';

/** A class of that name, as that is what type-graphql calls its type. */
export function named<Base extends abstract new () => object>(name: string, base: Base): ClassType<InstanceType<Base>> {
  const made = class extends (base as unknown as new () => object) {};
  Object.defineProperty(made, 'name', { value: name });
  return made as ClassType<InstanceType<Base>>;
}
