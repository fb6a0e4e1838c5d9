import { aliased } from './aliased.mjs';
import { create } from './create.mjs';
import { events } from './events.mjs';
import { fanOut } from './fan-out.mjs';
import { memory } from './memory.mjs';
import { mixed } from './mixed.mjs';
import { nested } from './nested.mjs';
import { page } from './page.mjs';
import { point } from './point.mjs';
import { start } from './start.mjs';
import { update } from './update.mjs';

/** In the order in which they are asked. */
export const questions = [point, aliased, page, nested, update, create, mixed, events, fanOut, memory, start];
