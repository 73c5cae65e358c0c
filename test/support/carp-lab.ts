/** Two network namespaces joined by a veth pair: a CARP or VRRP node of ours in one, ucarp or keepalived in the other. */
import { spawn } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { build } from 'esbuild';
import { execa } from 'execa';

import type { CarpNodeOptions } from '../fixtures/carp-node.ts';
import { talk } from './talker.ts';
import type { Talker } from './talker.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

export interface Keepalived extends Talker {
  /** At once, without a good-bye; its addresses stay where they are. */
  crash(): Promise<void>;
}

export interface CarpLab {
  /** Namespace of ours and of the peer. Each has `lan0`: 10.78.0.1/24, fe80::1/64 and 10.78.0.2/24, fe80::2/64. */
  readonly ours: string;
  readonly theirs: string;
  in(namespace: string, ...argv: string[]): Promise<string>;
  ucarp(options: { vhid: number; password: string; address: string; advskew: number }): Talker;
  /** @param instance the body of a `vrrp_instance` beside interface and state */
  keepalived(instance: string): Promise<Keepalived>;
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
    let started = 0;
    const keepalived = async (instance: string): Promise<Keepalived> => {
      started += 1;
      const file = (kind: string): string => join(directory, `keepalived-${started}.${kind}`);
      const config = `global_defs { router_id lab }
vrrp_instance V1 {
  interface lan0
  state BACKUP
${instance}
}
`;
      await writeFile(file('conf'), config, { mode: 0o644 });
      const [parent, child] = [file('pid'), file('vrrp')];
      const talker = start(
        theirs,
        ...['keepalived', '-n', '-l', '-D', '-P', '-f', file('conf'), '-p', parent, '-r', child],
      );
      return {
        ...talker,
        crash: async () => {
          const [parentId, childId] = await Promise.all(
            [parent, child].map(async (path) => Number(await readFile(path, 'utf8'))),
          );
          if (parentId === undefined || childId === undefined) throw new Error('keepalived has no process');
          // The parent would start another, and its end would tell the child to leave in good order.
          process.kill(parentId, 'SIGSTOP');
          process.kill(childId, 'SIGKILL');
          await talker.kill('SIGKILL');
        },
      };
    };
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
      keepalived,
      node: (options) =>
        start(ours, process.execPath, bundle, JSON.stringify({ ...options, interface: 'lan0' })),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}
