import { posts } from '../store/posts.ts';
import { byId } from './by-id.ts';
import { listing } from './listing.ts';
import { listingUnder } from './listing-under.ts';

export const postById = byId(posts);
export const allPosts = listing(posts);
export const postsByAuthor = listingUnder(posts, 'authorId');
