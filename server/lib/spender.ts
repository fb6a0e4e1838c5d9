import { networkOf } from './network.ts';

/** Who spends: the user, wherever they are signed in, else the network that the request comes from. */
export const spenderOf = (user: { id: string } | null, address: string): string =>
  user ? `user ${user.id}` : `network ${networkOf(address)}`;
