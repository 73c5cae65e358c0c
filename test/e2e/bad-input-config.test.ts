/** What an operator can get wrong in files and on the command line, on the real programs. */
import { chmod, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import { hastate, hastated } from '../support/daemon.ts';
import { Lab } from '../support/lab.ts';

const EX_UNKNOWN_NAME = 1;
const EX_USAGE = 64;
const EX_OSERR = 71;
const EX_OSFILE = 72;
const EX_CANTCREAT = 73;
const EX_CONFIG = 78;

describe('a mistake in a file', () => {
  let lab: Lab;
  beforeEach(async () => {
    lab = await Lab.make({ create: false });
    return () => lab.close();
  });

  /** In the foreground, in the background, and by `hastate check`: the same words and code. */
  async function refusal(node = 'hasta'): Promise<{ code: number; text: string }> {
    const files = ['-c', lab.hastConf, '-C', lab.hastateYaml, '-n', node];
    const state = ['--state-dir', lab.places.hasta.stateDir];
    const [foreground, background, checked] = await Promise.all([
      hastated('-F', ...files, ...state),
      hastated(...files, ...state),
      hastate(...files, 'check'),
    ]);
    expect(background).toEqual(foreground);
    expect(checked.code).toBe(foreground.code);
    expect(checked.stderr).toContain(foreground.stderr);
    expect(foreground.stdout).toBe('');
    return { code: foreground.code, text: foreground.stderr };
  }

  it('is named by line, column and nearest keyword when a keyword is unknown', async () => {
    await lab.edit(lab.hastConf, (text) => text.replace('listen', 'lisen'));
    expect(await refusal()).toEqual({
      code: EX_CONFIG,
      text: `${lab.hastConf}:4:2: 'lisen' is no keyword that can stand in a top-level 'on' section; did you mean 'listen'?\n`,
    });
  });

  it('is named with its section when the remote address is missing', async () => {
    await lab.edit(lab.hastConf, (text) => text.replace(/\t\tremote .*\n/, ''));
    expect(await refusal()).toEqual({
      code: EX_CONFIG,
      text: `${lab.hastConf}:14:5: resource disk1 has no remote address in its section 'on hasta'; add 'remote ADDRESS' of the other node, or 'remote none'\n`,
    });
  });

  it('is told in one line with the acceptable names when the node has no section', async () => {
    const { code, text } = await refusal('hastc');
    expect(code).toBe(EX_CONFIG);
    expect(text).toMatch(
      /^\S+:11:10: resource disk1 has no 'on' section for this node \(acceptable node names: hastc; sections: hasta, hastb\); [^\n]*-n[^\n]*\n$/,
    );
  });

  it('is another exit code when hast.conf cannot be opened', async () => {
    await rm(lab.hastConf);
    expect(await refusal()).toEqual({
      code: EX_OSFILE,
      text: `${lab.hastConf}:1:1: cannot open the file: no such file or directory; write it, or name another one with -c\n`,
    });
  });

  it('is another exit code when a hastate.yaml that was named cannot be opened', async () => {
    await rm(lab.hastateYaml);
    const { code, text } = await refusal();
    expect([code, text.split('\n').length]).toEqual([EX_OSFILE, 2]);
    expect(text).toContain(`${lab.hastateYaml}:1:1: cannot open the file`);
    expect(text).toContain('another one with -C');
  });

  it('is one line when a required key of hastate.yaml is misspelt', async () => {
    await lab.edit(lab.hastateYaml, (text) => text.replace('resources:', 'resorces:'));
    const { code, text } = await refusal();
    expect(code).toBe(EX_CONFIG);
    expect(text).toMatch(
      /^\S+:\d+:5: unknown key 'groups\.storage\.resorces'; did you mean 'resources'\?\n$/,
    );
  });

  it('names the resource and the group when a group has a resource that hast.conf has not', async () => {
    await lab.edit(lab.hastateYaml, (text) => text.replace('[disk1]', '[dsk1]'));
    const { code, text } = await refusal();
    expect(code).toBe(EX_CONFIG);
    expect(text).toMatch(/^\S+: group storage: hast\.conf has no resource 'dsk1'; did you mean 'disk1'\?\n$/);
  });

  it('is explained with its numbers when times are unsafe', async () => {
    await lab.edit(lab.hastateYaml, (text) => `${text}timing: { promotion-delay: 300ms, lease: 400ms }\n`);
    const { code, text } = await refusal();
    expect(code).toBe(EX_CONFIG);
    expect(text).toContain('lease 400 ms + slack 50 ms = 450 ms is not less than promotion-delay 300 ms');
    expect(text).toContain('raise promotion-delay above 450 ms or lower lease below 250 ms\n');
  });

  it('is the command to run when others may read the secret', async () => {
    await chmod(lab.secretFile, 0o644);
    const { code, text } = await refusal();
    expect(code).toBe(EX_CONFIG);
    expect(text).toContain(
      `${lab.secretFile} has mode 0644 and not 0600; run 'chmod 0600 ${lab.secretFile}'\n`,
    );
    expect(text).not.toContain('5e5e');
  });

  it('has its place when hastate.yaml is no YAML', async () => {
    await lab.edit(lab.hastateYaml, (text) => `${text}  - [\n`);
    const { code, text } = await refusal();
    expect(code).toBe(EX_CONFIG);
    expect(text).toMatch(/^\S+hastate\.yaml:\d+:\d+: not valid YAML: /);
  });
});

describe('a mistake on the command line', () => {
  let lab: Lab;
  const files = (): string[] => ['-c', lab.hastConf, '-C', lab.hastateYaml, '-n', 'hasta'];
  beforeAll(async () => {
    lab = await Lab.make();
  });
  afterAll(() => lab.close());

  it.each([
    ['an unknown option', ['--nope'], "Unknown option '--nope'"],
    ['an option without its value', ['-c'], "'-c, --config <value>' argument missing"],
    ['a word too many', ['start'], "Unexpected argument 'start'"],
  ])('is a usage error of hastated: %s', async (_, args, text) => {
    const { code, stderr } = await hastated(...args);
    expect(code).toBe(EX_USAGE);
    expect(stderr).toContain(text);
    expect(stderr).toContain('usage: hastated [-dFh]');
  });

  it.each([
    ['an unknown option', ['groups', '--nope'], "unknown option '--nope'"],
    ['one of hastctl’s commands', ['status', '--nope'], 'usage: hastate create [-d]'],
    ['an unknown command', ['frobnicate'], "unknown command 'frobnicate'"],
    ['an unknown role', ['role', 'master', 'disk1'], '<init | primary | secondary> all | name'],
    ['force without a reason', ['promote', 'storage', '--force'], 'needs --reason TEXT'],
    ['force with an empty reason', ['promote', 'storage', '--force', '--reason', ' '], 'needs --reason TEXT'],
  ])('is a usage error of hastate: %s', async (_, args, text) => {
    const { code, stderr } = await hastate(...files(), ...args);
    expect(code).toBe(EX_USAGE);
    expect(stderr).toContain(text);
  });

  it('is told as a daemon that is not there when nothing answers', async () => {
    expect(await hastate(...files(), 'status')).toEqual({
      code: EX_OSERR,
      stdout: '',
      stderr: `[ERROR] Unable to connect to hastd via ${lab.places.hasta.control}: No such file or directory.\n`,
    });
  });

  it('is found at once when the state directory is too long for the socket of an export', async () => {
    const long = join(lab.directory, 'x'.repeat(120 - lab.directory.length));
    const { code, stderr } = await hastated('-F', ...files(), '--state-dir', long);
    expect(code).toBe(EX_CONFIG);
    expect(stderr).toContain(`${long}/nbd/disk1.sock`);
    expect(stderr).toContain('choose a shorter --state-dir');
    expect(stderr.split('\n')).toHaveLength(2);
  });

  it('is told when the state directory is a file', async () => {
    const { code, stderr } = await hastated('-F', ...files(), '--state-dir', lab.hastConf);
    expect(code).toBe(EX_CANTCREAT);
    expect(stderr).toContain(`state directory ${lab.hastConf} cannot be used`);
    expect(stderr.split('\n')).toHaveLength(2);
  });

  it('is told when a running daemon is asked for what it does not have', async () => {
    const daemon = lab.daemon('hasta').start();
    await daemon.untilRunning();
    const role = await hastate(...files(), 'role', 'primary', 'disk9');
    expect(role).toEqual({
      code: EX_UNKNOWN_NAME,
      stdout: '',
      stderr: '[WARNING] [disk9] Received error 1 from hastd.\n',
    });
    const group = await hastate(...files(), 'why-not', 'nope');
    expect(group.code).toBe(EX_UNKNOWN_NAME);
    expect(group.stderr).toContain("there is no group 'nope'; hastate.yaml has: storage");
    // Whoever does not use our command line is asked for the reason as well.
    await expect(daemon.request('promote', { group: 'storage', force: true })).rejects.toThrow(
      /--reason TEXT/,
    );
    await expect(daemon.request('promote', {})).rejects.toThrow(/argument 'group' is missing/);
    expect((await daemon.stop()).code).toBe(0);
  });
});
