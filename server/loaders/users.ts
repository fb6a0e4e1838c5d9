import { users } from '../store/users.ts';
import { byId } from './by-id.ts';
import { listing } from './listing.ts';

export const userById = byId(users);
export const allUsers = listing(users);
