import { aliased } from './aliased.mjs';
import { nested } from './nested.mjs';
import { page } from './page.mjs';
import { point } from './point.mjs';
import { update } from './update.mjs';

/** In the order in which they are asked. */
export const questions = [point, aliased, page, nested, update];
