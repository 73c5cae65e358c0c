import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';

import { Survivors } from '../../../src/hooks/survivors.ts';
import { stepFor } from './hook-dir.ts';

describe('Survivors', () => {
  it('keep the hooks of their own group from starting until the last of their processes is gone', async () => {
    const child = spawn('sleep', ['1000'], { detached: true, stdio: 'ignore' });
    const survivors = new Survivors();
    try {
      const run = { pgid: child.pid ?? 0, mark: 'none' };
      survivors.add(stepFor('/hooks/20-thing', { verb: 'status' }), run);
      expect(await survivors.inTheWay('other', 0)).toBeNull();
      expect(await survivors.inTheWay('storage', 0)).toMatch(
        new RegExp(
          `^hook 20-thing status was killed, and some of its processes \\(group ${run.pgid}\\) survive`,
        ),
      );
      const waiting = survivors.inTheWay('storage', 10_000);
      child.kill('SIGKILL');
      expect(await waiting).toBeNull();
      expect(await survivors.inTheWay('storage', 0)).toBeNull();
    } finally {
      child.kill('SIGKILL');
      if (child.signalCode === null) await once(child, 'exit');
    }
  });
});
