import { expect, it } from 'vitest';

import { withName } from '../../../../src/daemon/bind/engine-events.ts';

it.each([
  ['Nodes are in sync.', 'disk1: Nodes are in sync.'],
  ['disk1: role init -> primary.', 'disk1: role init -> primary.'],
  ['disk1 is open, 0 extents are dirty.', 'disk1 is open, 0 extents are dirty.'],
  ['disk10: I/O is held', 'disk1: disk10: I/O is held'],
])('what an engine says names its resource once: %s', (said, told) => {
  expect(withName('disk1', said)).toBe(told);
});
