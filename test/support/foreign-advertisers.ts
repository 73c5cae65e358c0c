/** ucarp and keepalived as a lab starts them: by the words of a namespace, on `lan0` or another interface. */
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import type { Talker } from './talker.ts';

export interface ForeignAdvertiser extends Talker {
  /** At once, without a good-bye; its addresses stay where they are. */
  crash(): Promise<void>;
  /** Stands still until `thaw`. */
  freeze(): Promise<void>;
  thaw(): Promise<void>;
}

export interface UcarpOptions {
  readonly vhid: number;
  readonly password: string;
  /** Default `lan0`. */
  readonly interface?: string;
  /** Its own there. */
  readonly source: string;
  readonly address: string;
  readonly advskew: number;
  /** Puts the address there as MASTER and takes it off as BACKUP; else it only elects. */
  readonly moves?: boolean;
  readonly preempt?: boolean;
}

type Start = (...argv: string[]) => Talker;

export async function startUcarp(
  start: Start,
  directory: string,
  options: UcarpOptions,
): Promise<ForeignAdvertiser> {
  const { interface: iface = 'lan0', moves = false, preempt = false } = options;
  const { vhid, password, source, address, advskew } = options;
  const script = async (name: string, command: string): Promise<string> => {
    const path = join(directory, name);
    await writeFile(path, `#!/bin/sh\n${moves ? command : 'exit 0'}\n`);
    await chmod(path, 0o755);
    return path;
  };
  const up = await script('ucarp-up.sh', 'exec ip address replace "$2/24" dev "$1"');
  const down = await script('ucarp-down.sh', 'ip address del "$2/24" dev "$1"; exit 0');
  const talker = start(
    'ucarp',
    ...[`--interface=${iface}`, `--srcip=${source}`, `--vhid=${vhid}`, `--pass=${password}`],
    ...[`--addr=${address}`, `--advskew=${advskew}`, '--advbase=1'],
    ...[`--upscript=${up}`, `--downscript=${down}`],
    ...(moves ? ['--shutdown'] : ['--neutral', '--ignoreifstate']),
    ...(preempt ? ['--preempt'] : []),
  );
  const signal = (name: NodeJS.Signals): Promise<void> => {
    talker.signal(name);
    return Promise.resolve();
  };
  return {
    ...talker,
    crash: () => talker.kill('SIGKILL'),
    freeze: () => signal('SIGSTOP'),
    thaw: () => signal('SIGCONT'),
  };
}

let started = 0;

/** @param instance the body of a `vrrp_instance` beside interface and state */
export async function startKeepalived(
  start: Start,
  directory: string,
  instance: string,
  iface = 'lan0',
): Promise<ForeignAdvertiser> {
  started += 1;
  const file = (kind: string): string => join(directory, `keepalived-${started}.${kind}`);
  const config = `global_defs { router_id lab }
vrrp_instance V1 {
  interface ${iface}
  state BACKUP
${instance}
}
`;
  await writeFile(file('conf'), config, { mode: 0o644 });
  const [parent, child] = [file('pid'), file('vrrp')];
  const talker = start(
    ...['keepalived', '-n', '-l', '-D', '-P', '-f', file('conf'), '-p', parent, '-r', child],
  );
  const pids = async (): Promise<{ parent: number; child: number }> => {
    const [first, second] = await Promise.all(
      [parent, child].map(async (path) => Number(await readFile(path, 'utf8'))),
    );
    if (first === undefined || second === undefined) throw new Error('keepalived has no process');
    return { parent: first, child: second };
  };
  const both = async (name: NodeJS.Signals): Promise<void> => {
    const ids = await pids();
    // The parent would start another child, and its end would tell the child to leave in good order.
    process.kill(ids.parent, name);
    process.kill(ids.child, name);
  };
  return {
    ...talker,
    crash: async () => {
      const ids = await pids();
      process.kill(ids.parent, 'SIGSTOP');
      process.kill(ids.child, 'SIGKILL');
      await talker.kill('SIGKILL');
    },
    freeze: () => both('SIGSTOP'),
    thaw: () => both('SIGCONT'),
  };
}
