/**
 * A pair of whole nodes as people run them: two machines with a link for data and one for adverts and the shared
 * address, CARP on it, devices, the shipped hooks, and a client that follows the address.
 */
import { chmod, cp, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { openFileTarget, StampWriter } from '../../src/cli/demo/writer.ts';
import { BRIDGE_NEEDS, BridgeLab, CLIENT, type Side } from './bridge-lab.ts';
import { type LabDaemon, type LabNode, NODES } from './daemon.ts';
import { addHooks } from './device-lab.ts';
import { serves } from './failover.ts';
import { Lab } from './lab.ts';
import { eventually } from './stamped-clients.ts';
import { StoryNode } from './story-node.ts';
import { machineNow, type Timeline } from './timeline.ts';

export const STORY_NEEDS = [...BRIDGE_NEEDS, 'fuse', 'nbdfuse', 'losetup'] as const;
export const SHARED_ADDRESS = '10.78.0.100';
export const SIDE_OF: Readonly<Record<LabNode, Side>> = { hasta: 'a', hastb: 'b' };
const SHIPPED = fileURLToPath(new URL('../../hooks/', import.meta.url));
const WAIT_MS = 60_000;
const WRITES = 100;
const ASK_AGAIN_MS = 25;

/** The client is a service of the group: `stop` waits until it let go of its files. */
const CLIENT_HOOK = `# hastate: timeout=20s verbs=start,stop
dir=$HASTATE_PARAM_DIR
case $1 in
start) : >"$dir/go" ;;
stop)
    rm -f "$dir/go"
    while ls "$dir" | grep -q '^busy'; do sleep 0.01; done
    ;;
esac`;

export interface StoryOptions {
  /** Default `disk1`. */
  readonly resources?: readonly string[];
  readonly diskMiB: number;
  /** Own hooks by name, beside the shipped ones. */
  readonly ownHooks?: Readonly<Record<string, string>>;
  /** Lines below `hooks:` of the group; `perNode` makes a value that differs by node. */
  readonly hooks: (perNode: (below: string) => string, directory: string) => readonly string[];
  /** What a machine starts before hastated. */
  readonly boot?: (node: StoryNode) => Promise<void>;
}

export class StoryPair {
  readonly bridge: BridgeLab;
  readonly machines: Readonly<Record<LabNode, StoryNode>>;
  readonly lab: Lab;
  readonly line: Timeline;
  daemons: Readonly<Record<LabNode, LabDaemon>>;
  readonly #boot: (node: StoryNode) => Promise<void>;

  private constructor(
    parts: Pick<StoryPair, 'bridge' | 'machines' | 'lab' | 'line'>,
    boot: (node: StoryNode) => Promise<void>,
  ) {
    ({ bridge: this.bridge, machines: this.machines, lab: this.lab, line: this.line } = parts);
    this.#boot = boot;
    this.daemons = { hasta: this.lab.daemon('hasta'), hastb: this.lab.daemon('hastb') };
  }

  /** hasta serves, and hastb is in sync. */
  static async start(options: StoryOptions): Promise<StoryPair> {
    const bridge = await BridgeLab.make();
    const undo: (() => Promise<unknown>)[] = [() => bridge.close()];
    const boot = options.boot ?? (() => Promise.resolve());
    try {
      const booted: StoryNode[] = [];
      for (const [index, node] of NODES.entries()) {
        const machine = await StoryNode.boot(node, bridge.names[SIDE_OF[node]], index + 1);
        undo.push(() => machine.close());
        booted.push(machine);
      }
      const [hasta, hastb] = booted;
      if (hasta === undefined || hastb === undefined) throw new Error('two machines');
      const machines = { hasta, hastb };
      const lab = await makeLab(bridge, machines, options);
      undo.push(() => lab.close());
      const line = await bridge.watch(SHARED_ADDRESS);
      const pair = new StoryPair({ bridge, machines, lab, line }, boot);
      undo.push(() => pair.#powerOff());
      for (const machine of booted) await boot(machine);
      for (const node of NODES) pair.daemons[node].start();
      await pair.untilPaired('hasta');
      return pair;
    } catch (error) {
      for (const action of undo.reverse()) await action();
      throw error;
    }
  }

  async untilPaired(primary: LabNode): Promise<void> {
    const standby = otherOf(primary);
    await this.daemons[primary].until(
      `serving, with ${standby} in sync`,
      (status) =>
        serves(status) &&
        status.resources.every(
          ({ record, sync, status: link }) =>
            link === 'complete' && sync === null && record?.inSync.length === 2,
        ),
      WAIT_MS,
    );
    await this.daemons[standby].until(
      'in sync',
      ({ resources }) => resources.every(({ freshness }) => freshness.kind === 'inSync'),
      WAIT_MS,
    );
  }

  /** A path below a node's own directory, as it is there. */
  at(node: LabNode, ...rest: string[]): string {
    return join(this.lab.directory, node, ...rest);
  }

  /** A client of one file a stamp, each write with fsync, that follows the group. @param directory on the nodes */
  writer(directory: (node: LabNode) => string): StampWriter {
    return new StampWriter({
      slots: 512,
      lanes: 2,
      find: async () => {
        for (const node of NODES) {
          const status = this.daemons[node].running
            ? await this.daemons[node].status().catch(() => null)
            : null;
          if (status !== null && serves(status))
            return openFileTarget(this.machines[node].path(directory(node)), this.at(node, 'service'));
        }
        // Nobody is to wait for a processor because this client asks so often.
        await new Promise((resolve) => setTimeout(resolve, ASK_AGAIN_MS));
        return null;
      },
    });
  }

  /** The longest time without an acknowledged write while `happens` moves the group to `to`. ms */
  async gapOf(writer: StampWriter, to: LabNode, happens: () => Promise<unknown>): Promise<number> {
    writer.resetGap();
    await happens();
    await this.daemons[to].untilPrimary('storage', WAIT_MS);
    await moreOf(writer);
    return writer.longestGapMs;
  }

  async switchover(to: LabNode): Promise<void> {
    await this.daemons[otherOf(to)].request('switchover', { group: 'storage', to }, WAIT_MS);
  }

  /** The whole machine is gone at once. @returns when, on the machine's clock */
  async crash(node: LabNode): Promise<number> {
    const at = machineNow();
    await this.machines[node].crash();
    await this.daemons[node].ended;
    return at;
  }

  /** After a crash. */
  async reboot(node: LabNode): Promise<void> {
    const machine = this.machines[node];
    await machine.powerOff(this.lab.directory);
    // The kernel loses the addresses of a machine that lost its power.
    await this.bridge
      .ip(SIDE_OF[node], 'address', 'del', `${SHARED_ADDRESS}/24`, 'dev', 'lan0')
      .catch(() => '');
    await this.#boot(machine);
    this.daemons[node].start();
  }

  /** When a client of the shared address was first answered by that node. ms of the machine's clock */
  async answeredBy(node: LabNode, since: number): Promise<number> {
    const side = SIDE_OF[node];
    await this.line.until(`answered by ${side}`, () => this.line.firstAnswer(side, since) !== null, WAIT_MS);
    return this.line.firstAnswer(side, since)?.at ?? Infinity;
  }

  async #powerOff(): Promise<void> {
    for (const node of NODES) {
      await this.machines[node].crash();
      await this.machines[node].powerOff(this.lab.directory);
    }
  }

  async close(): Promise<void> {
    await this.lab.stop();
    await this.#powerOff();
    for (const node of NODES) await this.machines[node].close();
    await this.lab.close();
    await this.bridge.close();
  }
}

export function otherOf(node: LabNode): LabNode {
  return node === 'hasta' ? 'hastb' : 'hasta';
}

export async function moreOf(writer: StampWriter, count = WRITES): Promise<void> {
  const goal = writer.acknowledged + count;
  await eventually(`${goal} acknowledged writes`, () => writer.acknowledged >= goal, WAIT_MS);
}

async function makeLab(
  bridge: BridgeLab,
  machines: Readonly<Record<LabNode, StoryNode>>,
  { resources = ['disk1'], diskMiB, ownHooks = {}, hooks }: StoryOptions,
): Promise<Lab> {
  const lab = await Lab.make({
    net: { ...bridge.net, enter: { hasta: machines.hasta.enter, hastb: machines.hastb.enter } },
    ...{ resources, diskMiB },
    yaml: [`references: [${CLIENT}]`],
    groups: [{ name: 'storage', resources, more: [`DIRECTORY`] }],
  });
  const address = [
    'address:',
    '  protocol: carp',
    '  interface: lan0',
    '  vhid: 7',
    '  advbase: 0',
    '  advskew: { hasta: 26, hastb: 52 }',
    `  password-file: ${join(lab.directory, 'carp-password')}`,
    `  addresses: [${SHARED_ADDRESS}/24]`,
  ];
  await lab.edit(lab.hastateYaml, (text) => text.replace('    DIRECTORY', indented(address)));
  // Services that run as somebody else have to reach their data.
  await chmod(lab.directory, 0o755);
  await cp(SHIPPED, lab.hooksDir, { recursive: true });
  await lab.writeHook('90-client', CLIENT_HOOK);
  for (const [name, body] of Object.entries(ownHooks)) await lab.writeHook(name, body);
  for (const node of NODES)
    for (const place of ['mnt', 'service', 'run'])
      await mkdir(join(lab.directory, node, place), { mode: 0o755 });
  const perNode = (below: string): string =>
    `{ ${NODES.map((node) => `${node}: ${join(lab.directory, node, below)}`).join(', ')} }`;
  await addHooks(lab, [...hooks(perNode, lab.directory), '90-client:', `  dir: ${perNode('service')}`]);
  return lab;
}

function indented(lines: readonly string[]): string {
  return lines.map((line) => `    ${line}`).join('\n');
}
