/** Two real nodes on disks that lose power, writing clients, and faults drawn from a seed. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

import { groupOf, type LabDaemon, type LabNode, NODES, resourceOf } from '../daemon.ts';
import { differences } from '../failover.ts';
import { Lab } from '../lab.ts';
import type { LinkName, Namespaces } from '../netns.ts';
import { SimRandom } from '../../../src/simulate/sim-clock.ts';
import { eventually, type Lost, StampedClients } from '../stamped-clients.ts';
import type { Settings } from './captured.ts';
import { PowerDisk } from './power-disk.ts';

const DISK_BYTES = 8 * 1024 * 1024;
/** Many small extents and few that stay dirty: the activemap is written all the time. */
const CREATE = ['-e', '65536', '-k', '4'];
const GROUP = 'storage';
const RECOVERY_MS = 60_000;

type Kind = 'cut' | 'kill' | 'power';

export interface Verdict {
  readonly faults: readonly string[];
  readonly acknowledged: number;
  readonly lost: readonly Lost[];
  readonly stale: readonly Lost[];
  readonly differ: readonly number[];
  readonly seconds: number;
}

export class FaultStory {
  readonly #settings: Settings;
  readonly #random: SimRandom;
  readonly #namespaces: Namespaces;
  readonly #faults: string[] = [];
  readonly #lost: Lost[] = [];
  #lab: Lab | null = null;
  #backing = '';
  readonly #disks = new Map<LabNode, PowerDisk>();
  readonly #daemons = new Map<LabNode, LabDaemon>();
  #clients: StampedClients | null = null;

  constructor(settings: Settings, seed: number, namespaces: Namespaces) {
    this.#settings = settings;
    this.#random = new SimRandom(seed);
    this.#namespaces = namespaces;
  }

  async run(): Promise<Verdict> {
    const started = performance.now();
    const lab = await this.#start();
    const clients = new StampedClients([...this.#daemons.values()], 'disk1', {
      // Only what an async primary had flushed can be expected of it after a power cut.
      ...{ flushEvery: this.#settings.replication === 'async' ? 16 : 300, restMs: 6, scatter: true },
    }).start();
    this.#clients = clients;
    for (const kind of this.#shuffled<Kind>(['cut', 'kill', 'power'])) {
      const { primary } = await this.#untilPaired();
      await clients.more(primary.node, 40 + this.#random.below(120));
      await this.#strike(kind, primary);
      const after = await this.#untilPaired();
      this.#lost.push(...(await clients.lostOn(after.primary)));
    }
    await clients.stop();
    const { primary, standby } = await this.#untilPaired();
    this.#lost.push(...(await clients.lostOn(primary)));
    await primary.stop();
    await standby.stop();
    const differ = await differences(lab.places.hasta.disk('disk1'), lab.places.hastb.disk('disk1'));
    return {
      ...{ faults: this.#faults, acknowledged: clients.answers.length, lost: this.#lost },
      ...{ stale: clients.stale, differ, seconds: (performance.now() - started) / 1000 },
    };
  }

  /** What happened so far, for whoever has to find out. */
  async report(): Promise<string> {
    const logs = await Promise.all(
      [...this.#daemons.values()].map(async (daemon) => `--- ${daemon.node}\n${await daemon.log()}`),
    );
    return `faults: ${this.#faults.join(', ')}\n${logs.join('\n')}`;
  }

  async close(): Promise<void> {
    await this.#clients?.stop();
    await Promise.all([...this.#daemons.values()].map((daemon) => daemon.kill()));
    for (const disk of this.#disks.values()) await disk.cutPower();
    await this.#namespaces.heal();
    await this.#lab?.close();
    if (this.#backing !== '') await rm(this.#backing, { recursive: true });
  }

  async #start(): Promise<Lab> {
    const { replication, checksum, compression } = this.#settings;
    const lab = await Lab.make({
      ...{ create: false, replication, net: this.#namespaces.net },
      hastConf: [`checksum ${checksum}`, `compression ${compression}`],
      groups: [{ name: GROUP, resources: ['disk1'] }],
    });
    this.#lab = lab;
    // In memory where that is possible: the flushes of the disk's own file cost time and prove nothing.
    this.#backing = await mkdtemp(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'hastate-power-'));
    for (const node of NODES) {
      const path = lab.places[node].disk('disk1');
      this.#disks.set(node, await PowerDisk.make(path, join(this.#backing, node), DISK_BYTES));
      const made = await lab.hastate(node, 'create', ...CREATE, 'disk1');
      if (made.code !== 0) throw new Error(`hastate create on ${node}: ${made.stderr}`);
      this.#daemons.set(node, lab.daemon(node).start());
    }
    return lab;
  }

  /** One fault from its beginning until everything works again, though perhaps not yet together. */
  async #strike(kind: Kind, primary: LabDaemon): Promise<void> {
    if (kind === 'cut') {
      await this.#cut();
      return;
    }
    const victim = this.#random.chance(0.5) ? primary : this.#other(primary);
    const role = victim === primary ? 'primary' : 'secondary';
    await this.#end(victim, kind, role);
    if (this.#random.chance(0.6)) return;
    // Again, in the middle of its recovery: the other one has everything.
    await this.#pause(600);
    if (!(await this.#serves(this.#other(victim)))) return;
    await this.#end(victim, this.#random.chance(0.5) ? 'kill' : 'power', 'returning');
  }

  async #end(victim: LabDaemon, kind: 'kill' | 'power', role: string): Promise<void> {
    this.#faults.push(`${kind} ${role}`);
    const disk = this.#disks.get(victim.node);
    if (kind === 'power') {
      disk?.freeze();
      victim.signal('SIGKILL');
      await disk?.cutPower();
    }
    await victim.kill();
    // Nobody else may answer for what an async primary had not flushed.
    if (kind === 'power' && this.#settings.replication === 'async') this.#clients?.forgetUnflushed();
    await this.#pause(900);
    if (kind === 'power') await disk?.switchOn();
    victim.start();
  }

  async #cut(): Promise<void> {
    const link: LinkName = this.#random.chance(0.7) ? 'data0' : 'peer0';
    const way = this.#random.below(3);
    const node = NODES[way];
    this.#faults.push(`cut ${link}${node === undefined ? '' : ` into ${node}`}`);
    if (node === undefined) await this.#namespaces.cutBoth(link);
    else await this.#namespaces.cut(node, link);
    await this.#pause(1500);
    await this.#namespaces.heal();
  }

  async #serves(daemon: LabDaemon): Promise<boolean> {
    try {
      return groupOf(await daemon.status(), GROUP).state === 'primary.serving';
    } catch {
      return false;
    }
  }

  /** One serves and its record calls the other one in sync. */
  async #untilPaired(): Promise<{ primary: LabDaemon; standby: LabDaemon }> {
    const serving: LabDaemon[] = [];
    const look = async (): Promise<boolean> => {
      for (const daemon of this.#daemons.values()) if (await isPaired(daemon)) serving.push(daemon);
      return serving.length > 0;
    };
    await eventually(`paired after ${this.#faults.join(', ')}`, look, RECOVERY_MS);
    const [primary] = serving;
    if (primary === undefined) throw new Error('nobody serves');
    return { primary, standby: this.#other(primary) };
  }

  #other(daemon: LabDaemon): LabDaemon {
    const other = [...this.#daemons.values()].find((one) => one !== daemon);
    if (other === undefined) throw new Error('there is only one node');
    return other;
  }

  #pause(most: number): Promise<void> {
    const ms = this.#random.below(most);
    return new Promise((resolve) => setTimeout(resolve, ms));
  }

  #shuffled<T>(items: readonly T[]): T[] {
    return items
      .map((item) => [this.#random.next(), item] as const)
      .sort(([a], [b]) => a - b)
      .map(([, item]) => item);
  }
}

async function isPaired(daemon: LabDaemon): Promise<boolean> {
  const status = await daemon.status().catch(() => null);
  if (status === null || status.groups.length === 0) return false;
  const { record, sync, status: link } = resourceOf(status, 'disk1');
  const whole = link === 'complete' && sync === null && record?.inSync.length === 2;
  return whole && groupOf(status, GROUP).state === 'primary.serving';
}
