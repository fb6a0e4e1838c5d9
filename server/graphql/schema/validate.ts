import { getMetadataStorage, validateSync, type ValidationError } from 'class-validator';
import { ArgumentValidationError } from 'type-graphql';

const OPTIONS = { forbidUnknownValues: false, skipMissingProperties: false, stopAtFirstError: true };

/** By class: most arguments, such as those of pages, have no rules. */
const ruled = new WeakMap<object, boolean>();

/**
 * Checks an argument by the rules on its class, at once: type-graphql's own check imports class-validator for each.
 * @throws ArgumentValidationError
 */
export function validateArgument(value: unknown): void {
  if (typeof value !== 'object' || value === null || !hasRules(value.constructor)) return;
  const errors = faultsIn(value);
  if (errors.length > 0) throw new ArgumentValidationError(errors);
}

/** In the order of the fields: the library finds those of a class before those that it inherits. */
export function faultsIn(value: object): ValidationError[] {
  const fields = Object.keys(value);
  return validateSync(value, OPTIONS).sort((a, b) => fields.indexOf(a.property) - fields.indexOf(b.property));
}

function hasRules(type: object): boolean {
  const known = ruled.get(type);
  if (known !== undefined) return known;
  const rules = getMetadataStorage().getTargetValidationMetadatas(type as new () => object, '', false, false);
  ruled.set(type, rules.length > 0);
  return rules.length > 0;
}
