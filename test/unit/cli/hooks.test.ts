import { chmod, mkdir, readFile, stat } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { nodeStatus, resourceStatus, Scene } from './support.ts';
import { script } from '../hooks/hook-dir.ts';

let scene: Scene;
beforeEach(async () => {
  scene = await Scene.open();
  await mkdir(scene.path('hooks'));
});
afterEach(() => scene.close());

const hook = (name: string, body = 'exit 0', mode = 0o755) => script(scene.path(`hooks/${name}`), body, mode);

/** A group of `test` with these hooks. */
const config = (hooks: string, more = '') =>
  scene.write(
    'hastate.yaml',
    `insecure: true\nhooks-dir: ${scene.path('hooks')}\nnodes: { a: { peer: 10.0.0.1 }, b: { peer: 10.0.0.2 } }
groups:\n  storage: { resources: [test], hooks: ${hooks}${more} }\n`,
  );

const run = (...args: string[]) => scene.run('-C', scene.path('hastate.yaml'), 'hooks', ...args);

describe('hastate hooks list', () => {
  it('shows every file with its limits, its groups and whether it may run', async () => {
    await config('{ 20-ext4: {}, 60-gone: {} }');
    await hook('20-ext4', '# hastate: timeout=90s retries=4 verbs=start,stop');
    await hook('30-open', 'exit 0', 0o777);
    await hook('40-backup~');
    await hook('lib.sh');
    await hook('notify.d/10-mail');
    const { code, out } = await run('list');
    expect(code).toBe(0);
    const lines = out.split('\n').map((line) => line.replaceAll(/ {2,}/g, ' | '));
    expect(lines.slice(0, 2)).toEqual([
      scene.path('hooks'),
      'HOOK | VERBS | TIMEOUT | RETRIES | GROUPS | MAY RUN',
    ]);
    expect(lines).toContain('20-ext4 | start,stop | 90s | 4 | storage | yes');
    expect(lines).toContain('lib.sh | - | - | - | - | sourced by the hooks beside it');
    expect(lines).toContain('notify.d/10-mail | - | 60s | 2 | all | yes');
    expect(out).toMatch(/30-open .*no: \S+30-open is writable by everybody.*chmod go-w/);
    expect(out).toMatch(/40-backup~ .*no: its name is not/);
    expect(out).toMatch(/60-gone .*storage +no: group storage names it and it is not there/);
  });

  it('needs no hastate.yaml when a directory is named', async () => {
    await hook('20-ext4');
    const { code, out } = await scene.run('hooks', 'list', '--dir', scene.path('hooks'));
    expect([code, out.includes('20-ext4')]).toEqual([0, true]);
  });

  it('prints the same for programs', async () => {
    await config('{ 20-ext4: {} }');
    await hook('20-ext4');
    const { out } = await scene.run('-C', scene.path('hastate.yaml'), '--json', 'hooks', 'list');
    const { files, problems } = JSON.parse(out) as { files: unknown[]; problems: unknown[] };
    expect(files).toMatchObject([
      { name: '20-ext4', kind: 'hook', groups: ['storage'], refused: null, header: { timeoutMs: 60_000 } },
    ]);
    expect(problems).toEqual([]);
  });
});

describe('hastate hooks check', () => {
  it('says that all is well, with exit code 0', async () => {
    await config('{ 20-ext4: {} }');
    await hook('20-ext4');
    expect(await run('check')).toMatchObject({
      code: 0,
      out: `ok: 1 hook in ${scene.path('hooks')} may run\n`,
    });
  });

  it.each<[string, () => Promise<unknown>, RegExp]>([
    ['a hook that everybody may write', () => hook('20-ext4', '', 0o777), /20-ext4: .*chmod go-w/],
    ['a hook that is not executable', () => hook('20-ext4', '', 0o644), /20-ext4: .*chmod 755/],
    ['a hook that is a directory', () => mkdir(scene.path('hooks/20-ext4')), /not a regular file/],
    ['a header that nobody knows', () => hook('20-ext4', '# hastate: timeout=x'), /'timeout=x'.*24h/],
    [
      'a hook that is missing',
      () => Promise.resolve(),
      /20-ext4: group storage names it and it is not there/,
    ],
    [
      'a first line that names no program',
      async () => {
        const path = await hook('20-ext4');
        await scene.write('hooks/20-ext4', (await readFile(path, 'utf8')).replace('/bin/sh', '/no/sh'));
      },
      /names \/no\/sh, which cannot be run/,
    ],
    [
      'a directory that everybody may write',
      async () => {
        await hook('20-ext4');
        await chmod(scene.path('hooks'), 0o777);
      },
      /hooks is writable by everybody/,
    ],
    [
      'a hook of notify.d',
      async () => {
        await hook('20-ext4');
        await hook('notify.d/10-mail', '', 0o666);
      },
      /notify.d\/10-mail: .*chmod go-w/,
    ],
    [
      'a hook of fence.d',
      async () => {
        await hook('20-ext4');
        await hook('fence.d/10-ipmi', '# hastate: loud');
      },
      /fence.d\/10-ipmi: .*'loud'/,
    ],
  ])('tells %s and exits with 1', async (_, wreck, text) => {
    await config('{ 20-ext4: {} }');
    await wreck();
    const { code, out } = await run('check');
    expect(out).toMatch(text);
    expect(code).toBe(1);
  });

  it.each([
    [', monitor: { hooks: { 20-ext4: {} } }', "does not declare 'status'"],
    [', policy: consistent', 'fence.d: group storage has policy consistent'],
  ])('tells what only the group shows: %s', async (more, text) => {
    await config('{ 20-ext4: {} }', more);
    await hook('20-ext4');
    const { code, out } = await run('check');
    expect([code, out.includes(text)]).toEqual([1, true]);
  });
});

describe('hastate check', () => {
  it('warns of hooks that could not run, and accepts the files', async () => {
    await config('{ 20-ext4: {}, 50-web: {} }');
    await hook('20-ext4');
    await Promise.all(['test', 'other'].map((disk) => scene.write(disk, '')));
    const { code, err } = await scene.run('-C', scene.path('hastate.yaml'), 'check');
    expect(err).toMatch(/^warning: hook 50-web: group storage names it and it is not there/m);
    expect(err).not.toContain('20-ext4');
    expect(code).toBe(0);
  });
});

describe('hastate hooks rehearse', () => {
  const KNOWS = '# hastate: verbs=start,stop,rehearse\n';

  it('runs only what knows it, in order and with the environment of a promotion', async () => {
    await config('{ 20-ext4: { mountpoint: /data }, 30-old: {}, 50-web: {} }');
    await hook('20-ext4', `${KNOWS}echo "would mount on $HASTATE_PARAM_MOUNTPOINT for $HASTATE_GROUP: $1"`);
    await hook('30-old', `touch ${scene.path('ran')}`);
    await hook(
      '50-web',
      `${KNOWS}echo "device $HASTATE_DEVICE_TEST, epoch $HASTATE_EPOCH, peer $HASTATE_PEER"`,
    );
    const resources = [resourceStatus({ name: 'test', device: '/dev/loop9' })];
    await scene.serve(() => Promise.resolve(nodeStatus(resources)));
    const { code, out } = await run('rehearse', 'storage');
    expect(out).toBe(
      [
        'storage',
        '  20-ext4: ok',
        '    would mount on /data for storage: rehearse',
        "  30-old: does not know 'rehearse'",
        '  50-web: ok',
        '    device /dev/loop9, epoch 0, peer b',
        '',
      ].join('\n'),
    );
    expect(code).toBe(0);
    await expect(stat(scene.path('ran'))).rejects.toThrow();
  });

  it('needs no daemon, and exits with 1 when a hook objects or may not run', async () => {
    await config('{ 20-ext4: {}, 50-web: {} }');
    await hook('20-ext4', `${KNOWS}echo "no mount point" >&2; exit 1`);
    const { code, out } = await run('rehearse');
    expect(out).toContain('20-ext4: exited with 1: no mount point');
    expect(out).toContain('hook 50-web of group storage is not there');
    expect(code).toBe(1);
  });

  it('does not know a group that is not there', async () => {
    await config('{}');
    const { code, err } = await run('rehearse', 'nope');
    expect([code, err]).toEqual([1, "hastate: there is no group 'nope'; hastate.yaml has: storage\n"]);
  });
});
