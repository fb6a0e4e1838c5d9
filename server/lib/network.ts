import { isIPv6 } from 'node:net';

/**
 * Whom an address stands for where clients are counted. IPv6 is handed out by the /64 at least: whoever holds one has
 * 2^64 addresses to come from. An IPv4 address stands for itself, also where a socket of both families reports it.
 */
export function networkOf(address: string | undefined): string {
  // A socket that was reset has none any more.
  if (address === undefined) return '';
  const [bare = ''] = address.split('%');
  if (!isIPv6(bare)) return address;
  const groups = groupsOf(bare);
  if (isMapped(groups)) return groups.slice(6).flatMap(bytesOf).join('.');
  return `${groups
    .slice(0, 4)
    .map((group) => group.toString(16))
    .join(':')}::/64`;
}

/** The eight groups of an address that is valid: in a URL it has no dotted bytes at its end. */
function groupsOf(address: string): number[] {
  const [head = '', tail] = new URL(`http://[${address}]`).hostname.slice(1, -1).split('::');
  if (tail === undefined) return numbers(head);
  const [left, right] = [numbers(head), numbers(tail)];
  return [...left, ...Array.from({ length: 8 - left.length - right.length }, () => 0), ...right];
}

const numbers = (part: string) => (part === '' ? [] : part.split(':').map((group) => Number.parseInt(group, 16)));

/** ::ffff:a.b.c.d */
const isMapped = (groups: number[]) => groups[5] === 0xffff && groups.slice(0, 5).every((group) => group === 0);

const bytesOf = (group: number) => [group >> 8, group & 255];
