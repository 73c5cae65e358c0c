/**
 * Two nodes on loopback with file-backed disks, in a directory of their own. Whatever a test
 * starts here, `close` ends, by pid.
 */
import { chmod, mkdir, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { ReplicationMode } from '../../src/model/roles.ts';
import { type DaemonFiles, hastate, LabDaemon, type LabNode, NODES, type Ran } from './daemon.ts';
import { freeTcpPort, freeUdpPort } from './free-ports.ts';

export interface LabGroup {
  readonly name: string;
  readonly resources: readonly string[];
  /** Files of the lab's hook directory; parameters are words. */
  readonly hooks?: readonly string[];
  /** A shared address by CARP over UDP with a simulated driver. */
  readonly address?: boolean;
  /** More lines of this group, e.g. `policy: manual`. */
  readonly more?: readonly string[];
}

export interface LabOptions {
  /** Default `disk1`. */
  readonly resources?: readonly string[];
  /** Default: one group `storage` of all resources. */
  readonly groups?: readonly LabGroup[];
  /** Default 8. */
  readonly diskMiB?: number;
  /** More top-level lines of hastate.yaml. `visualizer: false` is there unless one starts with `visualizer`. */
  readonly yaml?: readonly string[];
  /** Default memsync. */
  readonly replication?: ReplicationMode;
  /** More global lines of hast.conf. */
  readonly hastConf?: readonly string[];
  /** Make the disks and run `hastate create` on both. Default true. */
  readonly create?: boolean;
  /** Where the nodes live when it is not loopback; the ports are always the same there. */
  readonly net?: LabNet;
}

/** Addresses of the nodes on their links, and how to start a program there. */
export interface LabNet {
  readonly data: Readonly<Record<LabNode, string>>;
  readonly peer: Readonly<Record<LabNode, string>>;
  /** Where the peer channel goes as well. */
  readonly alsoPeer?: Readonly<Record<LabNode, string>>;
  readonly enter: Readonly<Record<LabNode, readonly string[]>>;
}

/** Where one node lives. */
export interface Place {
  readonly node: LabNode;
  readonly host: string;
  readonly peerHost: string;
  readonly dataPort: number;
  readonly peerPort: number;
  readonly control: string;
  readonly stateDir: string;
  readonly log: string;
  readonly disk: (resource: string) => string;
}

const HOSTS: Readonly<Record<LabNode, string>> = { hasta: '127.0.0.11', hastb: '127.0.0.12' };
const LOOPBACK: LabNet = { data: HOSTS, peer: HOSTS, enter: { hasta: [], hastb: [] } };
const DATA_PORT = 8457;
const PEER_PORT = 8459;
const ADVERT_PORT = 8460;

export class Lab {
  readonly directory: string;
  readonly hastConf: string;
  readonly hastateYaml: string;
  readonly hooksDir: string;
  readonly secretFile: string;
  readonly advertPort: number;
  readonly places: Readonly<Record<LabNode, Place>>;
  readonly resources: readonly string[];
  readonly #net: LabNet;
  readonly #daemons: LabDaemon[] = [];

  private constructor(directory: string, options: LabOptions, ports: readonly number[], advertPort: number) {
    this.directory = directory;
    this.hastConf = join(directory, 'hast.conf');
    this.hastateYaml = join(directory, 'hastate.yaml');
    this.hooksDir = join(directory, 'hooks');
    this.secretFile = join(directory, 'secret');
    this.resources = options.resources ?? ['disk1'];
    this.#net = options.net ?? LOOPBACK;
    this.advertPort = advertPort;
    const [data0 = 0, peer0 = 0, data1 = 0, peer1 = 0] = ports;
    this.places = { hasta: this.#place('hasta', data0, peer0), hastb: this.#place('hastb', data1, peer1) };
  }

  /** Writes both files, the secrets and an empty hook directory; makes and creates the disks. */
  static async make(options: LabOptions = {}): Promise<Lab> {
    const { ports, advertPort } = await choosePorts(options.net);
    const directory = await mkdtemp(join(tmpdir(), 'hastate-lab-'));
    const lab = new Lab(directory, options, ports, advertPort);
    for (const { stateDir } of Object.values(lab.places)) await mkdir(stateDir, { recursive: true });
    await mkdir(lab.hooksDir, { mode: 0o755 });
    await writeFile(lab.secretFile, `${'5e'.repeat(32)}\n`, { mode: 0o600 });
    await writeFile(join(directory, 'carp-password'), 'a password\n', { mode: 0o600 });
    await writeFile(lab.hastConf, hastConf(lab, options));
    await writeFile(lab.hastateYaml, hastateYaml(lab, options));
    if (options.create === false) return lab;
    for (const { node, disk } of Object.values(lab.places)) {
      for (const resource of lab.resources) await makeDisk(disk(resource), options.diskMiB ?? 8);
      const made = await lab.hastate(node, 'create', ...lab.resources);
      if (made.code !== 0) throw new Error(`hastate create on ${node}: ${made.stderr}`);
    }
    return lab;
  }

  #place(node: LabNode, dataPort: number, peerPort: number): Place {
    const at = (...rest: string[]): string => join(this.directory, node, ...rest);
    return {
      ...{ node, host: this.#net.data[node], peerHost: this.#net.peer[node], dataPort, peerPort },
      ...{ control: at('control.sock'), stateDir: at('state'), log: at('hastated.log') },
      disk: (resource) => at(`${resource}.img`),
    };
  }

  /** Changes one of the two files. The text has to change. */
  async edit(path: string, change: (text: string) => string): Promise<void> {
    const before = await readFile(path, 'utf8');
    const after = change(before);
    if (after === before) throw new Error(`nothing changed in ${path}`);
    await writeFile(path, after);
  }

  /** An executable shell script in the hook directory; `body` follows the `#!` line. */
  async writeHook(name: string, body: string, mode = 0o755): Promise<string> {
    const path = join(this.hooksDir, name);
    await writeFile(path, `#!/bin/sh\n${body}\n`);
    await chmod(path, mode);
    return path;
  }

  /** A daemon of that node, not started yet. `changes` make a second one of the same node. */
  daemon(node: LabNode, changes: Partial<DaemonFiles> = {}): LabDaemon {
    const { hastConf, hastateYaml } = this;
    const { control, stateDir, log } = this.places[node];
    const daemon = new LabDaemon(node, {
      ...{ hastConf, hastateYaml, control, stateDir, log },
      ...{ enter: this.#net.enter[node], ...changes },
    });
    this.#daemons.push(daemon);
    return daemon;
  }

  /** Runs `hastate` of that node to its end. */
  hastate(node: LabNode, ...args: string[]): Promise<Ran> {
    return hastate('-c', this.hastConf, '-C', this.hastateYaml, '-n', node, ...args);
  }

  /** Both daemons, started; hasta serves every group and hastb is in sync. */
  async startPair(): Promise<Readonly<Record<LabNode, LabDaemon>>> {
    const pair = { hasta: this.daemon('hasta').start(), hastb: this.daemon('hastb').start() };
    await pair.hasta.until('serving, with hastb in sync', ({ groups, resources }) => {
      // While a daemon starts, both lists are empty.
      const serving = groups.length > 0 && groups.every(({ state }) => state === 'primary.serving');
      return serving && resources.every(({ record, sync }) => sync === null && record?.inSync.length === 2);
    });
    return pair;
  }

  /** Stops what still runs as an operator would, so that it takes its devices away. Never rejects. */
  async stop(): Promise<void> {
    const running = this.#daemons.filter((daemon) => daemon.running);
    await Promise.allSettled(running.map((daemon) => daemon.stop()));
  }

  /** Ends what still runs and removes the directory. */
  async close(): Promise<void> {
    await Promise.all(this.#daemons.map((daemon) => daemon.kill()));
    await rm(this.directory, { recursive: true, force: true });
  }
}

/** In namespaces of their own nobody else uses any port. */
async function choosePorts(net: LabNet | undefined): Promise<{ ports: number[]; advertPort: number }> {
  if (net !== undefined)
    return { ports: [DATA_PORT, PEER_PORT, DATA_PORT, PEER_PORT], advertPort: ADVERT_PORT };
  const ports: number[] = [];
  for (const node of NODES) ports.push(await freeTcpPort(HOSTS[node]), await freeTcpPort(HOSTS[node]));
  return { ports, advertPort: await freeUdpPort(HOSTS.hasta) };
}

/** An empty disk, as a sparse file. */
export async function makeDisk(path: string, mib: number): Promise<void> {
  const file = await open(path, 'w', 0o600);
  try {
    await file.truncate(mib * 1024 * 1024);
  } finally {
    await file.close();
  }
}

function otherNode(node: LabNode): LabNode {
  return node === 'hasta' ? 'hastb' : 'hasta';
}

function hastConf(lab: Lab, { hastConf: more = [], replication = 'memsync' }: LabOptions): string {
  const lines = [...more];
  for (const { node, host, dataPort, control, stateDir } of Object.values(lab.places)) {
    lines.push(`on ${node} {`, `\tcontrol ${control}`, `\tpidfile ${join(stateDir, 'hastated.pid')}`);
    lines.push(`\tlisten tcp4://${host}:${dataPort}`, '}');
  }
  for (const resource of lab.resources) {
    lines.push(`resource ${resource} {`, `\treplication ${replication}`, '\ttimeout 5');
    for (const { node, host, disk } of Object.values(lab.places)) {
      const other = lab.places[otherNode(node)];
      lines.push(`\ton ${node} {`, `\t\tlocal ${disk(resource)}`);
      lines.push(`\t\tremote tcp4://${other.host}:${other.dataPort}`, `\t\tsource tcp4://${host}`, '\t}');
    }
    lines.push('}');
  }
  return `${lines.join('\n')}\n`;
}

function hastateYaml(lab: Lab, options: LabOptions): string {
  const lines = ['nodes:'];
  for (const { node, peerHost, peerPort } of Object.values(lab.places)) {
    const hosts = [peerHost, ...(options.net?.alsoPeer === undefined ? [] : [options.net.alsoPeer[node]])];
    lines.push(`  ${node}: { peer: [${hosts.map((host) => `'${host}:${peerPort}'`).join(', ')}] }`);
  }
  lines.push(
    `secret-file: ${lab.secretFile}`,
    `advert-port: ${lab.advertPort}`,
    `hooks-dir: ${lab.hooksDir}`,
  );
  if (!options.yaml?.some((line) => line.startsWith('visualizer'))) lines.push('visualizer: false');
  lines.push(...(options.yaml ?? []), 'groups:');
  const groups = options.groups ?? [{ name: 'storage', resources: lab.resources }];
  for (const [index, group] of groups.entries()) {
    lines.push(`  ${group.name}:`, '    prefer: hasta', '    device: none');
    lines.push(`    resources: [${group.resources.join(', ')}]`);
    lines.push(...(group.more ?? []).map((line) => `    ${line}`));
    if (group.hooks !== undefined)
      lines.push('    hooks:', ...group.hooks.map((hook) => `      ${hook}: {}`));
    if (group.address === true) lines.push(...addressLines(lab, 80 + index));
  }
  return `${lines.join('\n')}\n`;
}

function addressLines(lab: Lab, vhid: number): string[] {
  return [
    '    address:',
    '      protocol: carp',
    '      interface: lo',
    `      vhid: ${vhid}`,
    '      advbase: 0',
    '      advskew: { hasta: 26, hastb: 52 }',
    `      password-file: ${join(lab.directory, 'carp-password')}`,
    '      transport: udp',
    '      driver: simulated',
    `      addresses: [127.0.0.${vhid}/32]`,
  ];
}
