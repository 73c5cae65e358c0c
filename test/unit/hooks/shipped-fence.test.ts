/** The programs of fence.d that come with hastate, against stand-ins for what they call. */
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { beforeEach, describe, expect, it } from 'vitest';

import { discoverHooks } from '../../../src/hooks/discover.ts';
import { planFence } from '../../../src/hooks/plan.ts';
import { runHook } from '../../../src/hooks/run.ts';
import type { HookOutcome } from '../../../src/model/hook.ts';
import { temporaryDir } from './hook-dir.ts';

const ROOT = join(import.meta.dirname, '../../..');
const IPMI = { host: '10.0.9.2', user: 'hastate', 'password-file': '/etc/hastate.ipmi' };

let fake: string;
let dir: string;

beforeEach(async () => {
  dir = await temporaryDir();
  fake = join(dir, 'fake');
  await mkdir(fake);
  await cp(join(ROOT, 'hooks'), join(dir, 'hooks'), { recursive: true });
});

async function fence(hook: string, params: Record<string, string>): Promise<HookOutcome> {
  const context = {
    node: 'a',
    peer: 'b',
    devices: {},
    reason: 'it is silent',
    epoch: 0,
    forced: false,
    stateDir: dir,
  };
  const [step] = planFence(await discoverHooks(join(dir, 'hooks')), { [hook]: params }, 'b', context);
  if (step === undefined) throw new Error(`no ${hook}`);
  const path = `${join(ROOT, 'test/fixtures/hooks/fence')}:${step.env['PATH'] ?? ''}`;
  return runHook(
    { ...step, env: { ...step.env, FAKE: fake, PATH: path } },
    { signal: new AbortController().signal, outputDir: join(dir, 'out'), log: () => undefined },
  );
}
const calls = async (): Promise<string[]> =>
  (await readFile(join(fake, 'calls'), 'utf8').catch(() => '')).split('\n').filter(Boolean);
const state = (name: string, content = ''): Promise<void> => writeFile(join(fake, name), content);

describe('10-ipmi', () => {
  it('orders the power off and says down only when the controller reports it off', async () => {
    await state('looks', '2');
    expect(await fence('10-ipmi', IPMI)).toMatchObject({ exitCode: 0, output: 'b is off\n' });
    const at = '-I lanplus -H 10.0.9.2 -U hastate -f /etc/hastate.ipmi chassis power';
    expect((await calls()).filter((line) => line.startsWith('ipmitool'))).toEqual([
      `ipmitool ${at} status`,
      `ipmitool ${at} off`,
      ...Array<string>(3).fill(`ipmitool ${at} status`),
    ]);
  });

  it('orders nothing for a node that is off already', async () => {
    await state('off');
    expect(await fence('10-ipmi', IPMI)).toMatchObject({ exitCode: 0, output: 'b is off already\n' });
    expect((await calls()).join()).not.toContain('power off');
  });

  it('a controller that does not answer, or reports the node on for ever, is no fence', async () => {
    await state('looks', '100');
    expect(await fence('10-ipmi', IPMI)).toMatchObject({
      exitCode: 1,
      failure: expect.stringContaining('does not report b off: Chassis Power is on') as string,
    });
    await state('silent');
    expect((await fence('10-ipmi', IPMI)).failure).toContain('10.0.9.2 does not switch b off: Error: Unable');
  });

  it('says which parameter is missing', async () => {
    expect((await fence('10-ipmi', {})).failure).toContain(
      "parameter host is missing: the address of b's IPMI",
    );
  });
});

describe('20-ssh-poweroff', () => {
  it('says down when the order arrived and the node is quiet three times in a row', async () => {
    await state('takes');
    await state('lives', '2');
    expect(await fence('20-ssh-poweroff', { host: '10.0.0.2' })).toMatchObject({ exitCode: 0 });
    const questions = (await calls()).filter((line) => line.endsWith(' true'));
    expect(questions).toHaveLength(5);
    // Of several the first one counts.
    for (const line of questions) expect(line.match(/ConnectTimeout=\d+/g)).toEqual(['ConnectTimeout=1']);
  });

  it('asks for another word each time, in whatever shell the user has there', async () => {
    await state('takes');
    for (let times = 0; times < 2; times += 1) {
      expect(await fence('20-ssh-poweroff', { host: '10.0.0.2' })).toMatchObject({ exitCode: 0 });
    }
    const orders = (await calls()).flatMap((line) => /root@10\.0\.0\.2 (sh -c '.*')$/.exec(line)?.[1] ?? []);
    expect(orders).toHaveLength(2);
    expect(new Set(orders).size).toBe(2);
  });

  it('an order that did not arrive is no fence: the node may live', async () => {
    const outcome = await fence('20-ssh-poweroff', { host: '10.0.0.2' });
    expect(outcome).toMatchObject({ exitCode: 1 });
    expect(outcome.failure).toContain('b did not take the order from root, so it may live');
    expect(outcome.output).toContain('ssh: connect to host 10.0.0.2 port 22: Connection timed out');
  });

  it.each([
    ['hastate-fence@10.0.0.2: Permission denied (publickey).'],
    ['Warning: Identity file /root/.ssh/hastate-fence-1 not accessible: No such file or directory.'],
  ])('a message with the name of its user or key is no answer to the order: %s', async (text) => {
    await state('says', text);
    const outcome = await fence('20-ssh-poweroff', { host: '10.0.0.2', user: 'hastate-fence' });
    expect(outcome.failure).toContain('did not take the order from hastate-fence');
    expect(outcome.output).toContain(text);
  });

  it('a user who may not power off has not taken the order', async () => {
    await state('takes');
    await state('unprivileged');
    const outcome = await fence('20-ssh-poweroff', { host: '10.0.0.2', user: 'operator' });
    expect(outcome.failure).toContain('did not take the order from operator');
  });

  it.each([
    ['root@10.0.0.2: Permission denied (publickey).'],
    ['ssh: connect to host 10.0.0.2 port 22: Connection refused'],
    ['ssh: connect to host 10.0.0.2 port 22: Network is unreachable'],
    ['Connection timed out during banner exchange'],
    ['kex_exchange_identification: read: Connection reset by peer'],
    ['ssh: Could not resolve hostname b: Temporary failure in name resolution'],
  ])('a node is not down while ssh says: %s', async (text) => {
    await state('takes');
    await state('says', text);
    const outcome = await fence('20-ssh-poweroff', { host: '10.0.0.2' });
    expect(outcome.failure).toContain(`b took the order and still answers: ${text}`);
  });

  it.each([['Operation timed out'], ['No route to host'], ['Host is down']])(
    'a connection that ends with "%s" is silence',
    async (text) => {
      await state('takes');
      await state('says', `ssh: connect to host 10.0.0.2 port 22: ${text}`);
      expect(await fence('20-ssh-poweroff', { host: '10.0.0.2' })).toMatchObject({ exitCode: 0 });
    },
  );

  it('a node that goes on answering is not down', async () => {
    await state('takes');
    await state('lives', '1000');
    expect((await fence('20-ssh-poweroff', { host: '10.0.0.2' })).failure).toContain('still answers');
  });
});

it('90-operator says what to do, and that nobody answered is no fence', async () => {
  const outcome = await fence('90-operator', {});
  expect(outcome.output).toContain("hastate fence b --confirm-down --reason 'who switched it off'");
  expect(outcome).toMatchObject({ exitCode: 1 });
});
