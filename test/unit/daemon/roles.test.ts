/** Roles on a person's word, as far as no disk is needed. */
import { describe, expect, it } from 'vitest';

import { RoleDesk, type RoleSources } from '../../../src/daemon/roles.ts';

/** hast.conf names disk1 and disk2; nothing is open yet. */
function starting(): { desk: RoleDesk; said: string[] } {
  const said: string[] = [];
  const runtime = {
    hast: { resources: [{ name: 'disk1' }, { name: 'disk2' }] },
    journal: { add: ({ message }: { message: string }) => void said.push(message) },
  } as unknown as RoleSources['runtime'];
  return { desk: new RoleDesk({ runtime, members: new Map(), groupOf: () => null }), said };
}

describe('a role that is given while the node starts', () => {
  it.each([['disk2'], ['all']])(
    'for %s is told to come back, not that there is no such resource',
    async (name) => {
      const { desk, said } = starting();
      const results = await desk.give('primary', [name]);
      expect(results.map(({ resource, code }) => [resource, code])).toEqual(
        (name === 'all' ? ['disk1', 'disk2'] : ['disk2']).map((one) => [one, 'not-started']),
      );
      expect(results[0]?.error).toContain('still starting');
      expect(said).toHaveLength(results.length);
    },
  );

  it('for a resource that is not in hast.conf is told so', async () => {
    const [result] = await starting().desk.give('primary', ['disk9']);
    expect(result).toMatchObject({ code: 'unknown-resource' });
  });
});
