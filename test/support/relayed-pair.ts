/** Two nodes on loopback whose every connection to each other goes through a relay, so that each way can be made dead. */
import { readFile, writeFile } from 'node:fs/promises';

import { type LabDaemon, type LabNode, NODES } from './daemon.ts';
import { untilPaired } from './failover.ts';
import type { Lab } from './lab.ts';
import { TcpRelay } from './tcp-relay.ts';

const WAYS = ['data', 'peer'] as const;
type Way = (typeof WAYS)[number];
/** By who connects. */
type Relays = Readonly<Record<LabNode, Readonly<Record<Way, TcpRelay>>>>;

export class RelayedPair {
  readonly hasta: LabDaemon;
  readonly hastb: LabDaemon;
  readonly #relays: Relays;

  private constructor(relays: Relays, hasta: LabDaemon, hastb: LabDaemon) {
    this.#relays = relays;
    this.hasta = hasta;
    this.hastb = hastb;
  }

  /** Nothing is started yet. */
  static async make(lab: Lab): Promise<RelayedPair> {
    const relays = { hasta: await relaysOf(lab, 'hasta'), hastb: await relaysOf(lab, 'hastb') };
    for (const node of NODES) await writeFiles(lab, node, relays[node]);
    const daemon = (node: LabNode): LabDaemon => lab.daemon(node, filesOf(lab, node));
    return new RelayedPair(relays, daemon('hasta'), daemon('hastb'));
  }

  /** hasta serves, and hastb is in sync. Both are started before this returns. */
  async start(): Promise<void> {
    this.hasta.start();
    this.hastb.start();
    await untilPaired({ primary: this.hasta, standby: this.hastb });
  }

  /** Nothing that the other node sends there arrives at this one: bytes vanish, no error tells. */
  deafen(node: LabNode, ...ways: readonly Way[]): void {
    for (const way of ways) {
      this.#relays[node][way].hush('near');
      this.#relays[otherOf(node)][way].hush('far');
    }
  }

  /** What this node connects to is dead in both directions; connections of the other one are carried. */
  isolateCallsOf(node: LabNode, way: Way): void {
    this.#relays[node][way].hush('near', 'far');
  }

  heal(): void {
    for (const node of NODES) for (const way of WAYS) this.#relays[node][way].heal();
  }

  close(): void {
    for (const node of NODES) for (const way of WAYS) this.#relays[node][way].close();
  }
}

function otherOf(node: LabNode): LabNode {
  return node === 'hasta' ? 'hastb' : 'hasta';
}

async function relaysOf({ places }: Lab, node: LabNode): Promise<Readonly<Record<Way, TcpRelay>>> {
  const [here, there] = [places[node], places[otherOf(node)]];
  return {
    data: await TcpRelay.start(there.host, { host: there.host, port: there.dataPort, from: here.host }),
    peer: await TcpRelay.start(there.peerHost, {
      host: there.peerHost,
      port: there.peerPort,
      from: here.peerHost,
    }),
  };
}

function filesOf({ hastConf, hastateYaml }: Lab, node: LabNode): { hastConf: string; hastateYaml: string } {
  return { hastConf: `${hastConf}.${node}`, hastateYaml: `${hastateYaml}.${node}` };
}

async function writeFiles(
  lab: Lab,
  node: LabNode,
  { data, peer }: Readonly<Record<Way, TcpRelay>>,
): Promise<void> {
  const there = lab.places[otherOf(node)];
  const { hastConf, hastateYaml } = filesOf(lab, node);
  const [conf, yaml] = [await readFile(lab.hastConf, 'utf8'), await readFile(lab.hastateYaml, 'utf8')];
  const remote = `remote tcp4://${there.host}:`;
  await writeFile(hastConf, conf.replace(`${remote}${there.dataPort}`, `${remote}${data.port}`));
  await writeFile(
    hastateYaml,
    yaml.replace(`${there.peerHost}:${there.peerPort}`, `${there.peerHost}:${peer.port}`),
  );
}
