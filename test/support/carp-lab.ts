/** Two network namespaces joined by a veth pair: a CARP or VRRP node of ours in one, ucarp or keepalived in the other. */
import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { execa } from 'execa';

import type { CarpNodeOptions } from '../fixtures/carp-node.ts';
import { startKeepalived, startUcarp } from './foreign-advertisers.ts';
import type { ForeignAdvertiser, UcarpOptions } from './foreign-advertisers.ts';
import { bundleFixture } from './segment-lab.ts';
import { talk } from './talker.ts';
import type { Talker } from './talker.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

export interface CarpLab {
  /** Namespace of ours and of the peer. Each has `lan0`: 10.78.0.1/24, fe80::1/64 and 10.78.0.2/24, fe80::2/64. */
  readonly ours: string;
  readonly theirs: string;
  in(namespace: string, ...argv: string[]): Promise<string>;
  ucarp(options: Omit<UcarpOptions, 'source'>): Promise<ForeignAdvertiser>;
  /** @param instance the body of a `vrrp_instance` beside interface and state */
  keepalived(instance: string): Promise<ForeignAdvertiser>;
  node(options: Omit<CarpNodeOptions, 'interface'>): Talker;
  close(): Promise<void>;
}

export async function openCarpLab(): Promise<CarpLab> {
  const ours = `hac-a${process.pid}`;
  const theirs = `hac-b${process.pid}`;
  const directory = await mkdtemp(join(tmpdir(), 'hastate-carp-'));
  // Native packages are found from where the bundle lies.
  const bundles = join(ROOT, 'node_modules/.cache', `carp-lab-${process.pid}`);
  await mkdir(bundles, { recursive: true });
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
    await rm(bundles, { recursive: true, force: true });
  };
  try {
    await bundleFixture('carp-node', bundles);
    await execa('ip', ['netns', 'add', ours]);
    await execa('ip', ['netns', 'add', theirs]);
    await inside(ours, 'ip', 'link', 'add', 'lan0', 'type', 'veth', 'peer', 'name', 'lan0', 'netns', theirs);
    for (const [name, host] of [
      [ours, 1],
      [theirs, 2],
    ] as const) {
      await inside(name, 'ip', 'address', 'add', `10.78.0.${host}/24`, 'dev', 'lan0');
      await inside(name, 'ip', 'link', 'set', 'lan0', 'addrgenmode', 'none');
      await inside(name, 'ip', 'link', 'set', 'lan0', 'up');
    }
    for (const [name, host] of [
      [ours, 1],
      [theirs, 2],
    ] as const) {
      await inside(name, 'ip', 'address', 'add', `fe80::${host}/64`, 'dev', 'lan0', 'nodad');
    }
    return {
      ours,
      theirs,
      in: inside,
      ucarp: (options) =>
        startUcarp((...argv) => start(theirs, ...argv), directory, { ...options, source: '10.78.0.2' }),
      keepalived: (instance) => startKeepalived((...argv) => start(theirs, ...argv), directory, instance),
      node: (options) =>
        start(
          ours,
          process.execPath,
          join(bundles, 'carp-node.mjs'),
          JSON.stringify({ ...options, interface: 'lan0' }),
        ),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}
