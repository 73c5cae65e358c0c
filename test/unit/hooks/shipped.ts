/** Runs the hooks that come with hastate as the daemon does: found, planned and run, from a directory that can be trusted. */
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { discoverHooks } from '../../../src/hooks/discover.ts';
import { planHooks, planNotify } from '../../../src/hooks/plan.ts';
import { runHook } from '../../../src/hooks/run.ts';
import type { HookOutcome, HookStep, HookVerb } from '../../../src/model/hook.ts';
import type { GroupSettings } from '../../../src/model/settings.ts';
import { script, temporaryDir } from './hook-dir.ts';

const ROOT = join(import.meta.dirname, '../../..');

export interface Shipped {
  readonly dir: string;
  run(
    hook: string,
    verb: HookVerb | 'rehearse',
    params: Record<string, string>,
    changes?: Changes,
  ): Promise<HookOutcome>;
  /** Runs one of `notify.d`. */
  notify(name: string, event: string, args: readonly string[]): Promise<HookOutcome>;
  /** What the fake commands were called with. */
  calls(): Promise<string[]>;
  /** Something that the fake commands look at. */
  state(name: string, content?: string): Promise<void>;
}

interface Changes {
  readonly devices?: Record<string, string>;
  readonly forced?: boolean;
}

export interface Place {
  /** Directory of test/fixtures/hooks whose commands come first on the path. */
  readonly fakes?: string;
  readonly node?: string;
  readonly peer?: string;
  /** Words before a command that is to run elsewhere, e.g. `nsenter` with its options. */
  readonly enter?: readonly string[];
}

export async function shippedHooks({
  fakes,
  node = 'a',
  peer = 'b',
  enter = [],
}: Place = {}): Promise<Shipped> {
  const dir = await temporaryDir();
  const hooks = join(dir, 'hooks');
  const fake = join(dir, 'fake');
  await cp(join(ROOT, 'hooks'), hooks, { recursive: true });
  await mkdir(fake);
  const runIn = async (step: HookStep): Promise<HookOutcome> => {
    const path = step.env['PATH'] ?? '';
    const first = fakes === undefined ? '' : `${join(ROOT, 'test/fixtures/hooks', fakes)}:`;
    const env = { ...step.env, FAKE: fake, PATH: first + path };
    return runHook(
      { ...step, env, path: enter.length === 0 ? step.path : await entered(step.path) },
      { signal: new AbortController().signal, outputDir: join(dir, 'out'), log: () => undefined },
    );
  };
  const entered = (path: string): Promise<string> =>
    script(join(dir, 'enter'), `exec ${enter.join(' ')} '${path}' "$@"`);
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
        afterSplit: 'disconnect',
        allowLoss: false,
        peerKind: 'hastate',
        resources: Object.keys(devices),
        hooks: { [hook]: params },
        monitor: { usual: null, hooks: {} },
        device: 'auto',
        address: null,
      };
      const context = { node, peer, devices, reason: 'test', epoch: 3, forced, stateDir: dir };
      const [step] = planHooks(group, await discoverHooks(hooks), verb, context);
      if (step === undefined) throw new Error(`${hook} does not know ${verb}`);
      return runIn({ ...step, retryDelayMs: 1 });
    },
    notify: async (name, event, args) => {
      const context = { node, peer, devices: {}, reason: 'a test', epoch: 3, forced: false, stateDir: dir };
      const steps = planNotify(await discoverHooks(hooks), event, args, context);
      const step = steps.find((each) => each.name === name);
      if (step === undefined) throw new Error(`there is no notify.d/${name}`);
      return runIn({ ...step, retryDelayMs: 1 });
    },
  };
}
