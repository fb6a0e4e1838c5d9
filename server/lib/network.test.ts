import { expect, test } from 'vitest';
import { networkOf } from './network.ts';

test('IPv6 is its /64, however it is written; IPv4 is itself', () => {
  const same = [
    '2001:db8:0:1::5',
    '2001:DB8:0:1:ffff:ffff:ffff:ffff',
    '2001:0db8:0000:0001:0:0:0:1',
    '2001:db8:0:1::%eth0',
  ];
  expect(new Set(same.map(networkOf))).toEqual(new Set(['2001:db8:0:1::/64']));
  expect(networkOf('2001:db8:0:2::5')).toBe('2001:db8:0:2::/64');
  expect(['::1', 'fe80::1%2', '::'].map(networkOf)).toEqual(['0:0:0:0::/64', 'fe80:0:0:0::/64', '0:0:0:0::/64']);
  expect(['192.0.2.7', '::ffff:192.0.2.7', '::ffff:c000:207', '0:0:0:0:0:ffff:c000:0207'].map(networkOf)).toEqual(
    Array(4).fill('192.0.2.7'),
  );
  expect(['', 'unix:'].map(networkOf)).toEqual(['', 'unix:']);
});
