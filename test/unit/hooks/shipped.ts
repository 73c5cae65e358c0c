/** Runs the hooks that come with hastate as the daemon does: found, planned and run, from a directory that can be trusted. */
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { discoverHooks } from '../../../src/hooks/discover.ts';
import { planHooks } from '../../../src/hooks/plan.ts';
import { runHook } from '../../../src/hooks/run.ts';
import type { HookOutcome, HookVerb } from '../../../src/model/hook.ts';
import type { GroupSettings } from '../../../src/model/settings.ts';
import { temporaryDir } from './hook-dir.ts';

const ROOT = join(import.meta.dirname, '../../..');

export interface Shipped {
  readonly dir: string;
  run(hook: string, verb: HookVerb, params: Record<string, string>, changes?: Changes): Promise<HookOutcome>;
  /** What the fake commands were called with. */
  calls(): Promise<string[]>;
  /** Something that the fake commands look at. */
  state(name: string, content?: string): Promise<void>;
}

interface Changes {
  readonly devices?: Record<string, string>;
  readonly forced?: boolean;
}

/** @param fakes directory of test/fixtures/hooks whose commands come first on the path */
export async function shippedHooks(fakes: string | null = null): Promise<Shipped> {
  const dir = await temporaryDir();
  const hooks = join(dir, 'hooks');
  const fake = join(dir, 'fake');
  await cp(join(ROOT, 'hooks'), hooks, { recursive: true });
  await mkdir(fake);
  return {
    dir,
    calls: async () =>
      (await readFile(join(fake, 'calls'), 'utf8').catch(() => '')).split('\n').filter(Boolean),
    state: (name, content = '') => writeFile(join(fake, name), content),
    run: async (hook, verb, params, { devices = {}, forced = false } = {}) => {
      const group: GroupSettings = {
        name: 'storage',
        policy: 'available',
        prefer: null,
        failback: 'never',
        failbackDelayMs: 0,
        bootWaitMs: 0,
        allowLoss: false,
        peerKind: 'hastate',
        resources: Object.keys(devices),
        hooks: { [hook]: params },
        monitor: { usual: null, hooks: {} },
        device: 'auto',
        address: null,
      };
      const context = { node: 'a', peer: 'b', devices, reason: 'test', epoch: 3, forced, stateDir: dir };
      const [step] = planHooks(group, await discoverHooks(hooks), verb, context);
      if (step === undefined) throw new Error(`${hook} does not know ${verb}`);
      const path = step.env['PATH'] ?? '';
      const env =
        fakes === null
          ? step.env
          : { ...step.env, FAKE: fake, PATH: `${join(ROOT, 'test/fixtures/hooks', fakes)}:${path}` };
      return runHook(
        { ...step, env },
        { signal: new AbortController().signal, outputDir: join(dir, 'out'), log: () => undefined },
      );
    },
  };
}
