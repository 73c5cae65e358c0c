/** Two network namespaces joined by a veth pair, with a CARP node of ours in one and ucarp in the other. */
import { spawn } from 'node:child_process';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { build } from 'esbuild';
import { execa } from 'execa';

import type { CarpNodeOptions } from '../fixtures/carp-node.ts';
import { talk } from './talker.ts';
import type { Talker } from './talker.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

export interface CarpLab {
  /** Namespace of ours and of the peer. Each has interface `lan0`, 10.78.0.1/24 and 10.78.0.2/24. */
  readonly ours: string;
  readonly theirs: string;
  in(namespace: string, ...argv: string[]): Promise<string>;
  ucarp(options: { vhid: number; password: string; address: string; advskew: number }): Talker;
  node(options: Omit<CarpNodeOptions, 'interface'>): Talker;
  close(): Promise<void>;
}

export async function openCarpLab(): Promise<CarpLab> {
  const ours = `hac-a${process.pid}`;
  const theirs = `hac-b${process.pid}`;
  const directory = await mkdtemp(join(tmpdir(), 'hastate-carp-'));
  // Native packages are found from where the bundle lies.
  const cache = join(ROOT, 'node_modules/.cache');
  await mkdir(cache, { recursive: true });
  const bundle = join(cache, `carp-node-${process.pid}.mjs`);
  const talkers: Talker[] = [];
  const inside = async (namespace: string, ...argv: string[]): Promise<string> =>
    (await execa('ip', ['netns', 'exec', namespace, ...argv])).stdout;
  const start = (namespace: string, ...argv: string[]): Talker => {
    const talker = talk(spawn('ip', ['netns', 'exec', namespace, ...argv]));
    talkers.push(talker);
    return talker;
  };
  const close = async (): Promise<void> => {
    for (const talker of talkers) await talker.kill('SIGKILL');
    for (const name of [ours, theirs]) await execa('ip', ['netns', 'del', name], { reject: false });
    await rm(directory, { recursive: true, force: true });
    await rm(bundle, { force: true });
  };
  try {
    const script = join(directory, 'nothing.sh');
    await writeFile(script, '#!/bin/sh\nexit 0\n');
    await chmod(script, 0o755);
    await build({
      entryPoints: [join(ROOT, 'test/fixtures/carp-node.ts')],
      outfile: bundle,
      bundle: true,
      platform: 'node',
      format: 'esm',
      packages: 'external',
      logLevel: 'error',
    });
    await execa('ip', ['netns', 'add', ours]);
    await execa('ip', ['netns', 'add', theirs]);
    await inside(ours, 'ip', 'link', 'add', 'lan0', 'type', 'veth', 'peer', 'name', 'lan0', 'netns', theirs);
    for (const [name, address] of [
      [ours, '10.78.0.1/24'],
      [theirs, '10.78.0.2/24'],
    ] as const) {
      await inside(name, 'ip', 'address', 'add', address, 'dev', 'lan0');
      await inside(name, 'ip', 'link', 'set', 'lan0', 'up');
    }
    return {
      ours,
      theirs,
      in: inside,
      ucarp: ({ vhid, password, address, advskew }) =>
        start(
          theirs,
          'ucarp',
          ...['--interface=lan0', '--srcip=10.78.0.2', `--vhid=${vhid}`, `--pass=${password}`],
          ...[`--addr=${address}`, `--advskew=${advskew}`, '--advbase=1'],
          ...[`--upscript=${script}`, `--downscript=${script}`, '--neutral', '--ignoreifstate'],
        ),
      node: (options) =>
        start(ours, process.execPath, bundle, JSON.stringify({ ...options, interface: 'lan0' })),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}
