import { ValidateBy } from 'class-validator';

/** PostgreSQL's text takes every character but U+0000; a lone surrogate is no character, and would come back changed. */
export function IsStorable(): PropertyDecorator {
  return ValidateBy({
    name: 'isStorable',
    validator: {
      validate: (value) => typeof value === 'string' && value.isWellFormed() && !value.includes('\0'),
      defaultMessage: (args) => `${args?.property} must be text without null characters or lone surrogates`,
    },
  });
}
