import { signal } from '@preact/signals';
import type { UserFieldsFragment } from '../../../schema/generated/operations.ts';
import { madeUp, type Draft } from './made-up.ts';

export type User = UserFieldsFragment;

export const draft = signal<Draft>(madeUp());
/** The user that the form edits; null: it makes a new one. */
export const edited = signal<User | null>(null);

export function createAnother(): void {
  edited.value = null;
  draft.value = madeUp();
}

/** Brings a user into the form, and the form into view. */
export function edit(user: User): void {
  load(user);
  const form = document.getElementById('write');
  form?.scrollIntoView({ block: 'nearest' });
  form?.querySelector<HTMLInputElement>('input[name=firstName]')?.focus();
}

export function load(user: User): void {
  edited.value = user;
  const { username, email, firstName, lastName, isActive } = user;
  draft.value = {
    username,
    // What is not this viewer's to see is not theirs to change either.
    email: email ?? '',
    password: '',
    firstName: firstName ?? '',
    lastName: lastName ?? '',
    isActive: isActive ?? true,
  };
}
