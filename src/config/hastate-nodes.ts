/** The nodes of hastate.yaml: those of hast.conf, and where each can be asked. */
import { parseHostPort } from './addresses.ts';
import type { HastateFile } from './hastate-schema.ts';
import { didYouMean } from './nearest.ts';
import { dotted } from './yaml-source.ts';
import type { Path, YamlSource } from './yaml-source.ts';
import type { HastSettings, PeerAddress } from '../model/settings.ts';

export const PEER_PORT = 8459;

/** The two nodes that hast.conf names; `other` is null where every resource says `remote none` alone. */
export interface NodeNames {
  readonly self: string;
  readonly other: string | null;
  readonly all: readonly string[];
}

export function nodeNames(file: HastateFile, hast: HastSettings): NodeNames {
  const self = hast.node;
  const peers = new Set(hast.resources.flatMap(({ peer }) => (peer === null ? [] : [peer])));
  const all = [self, ...peers];
  // Without any second `on` section hast.conf has no say in what the other node is called.
  if (peers.size === 0) all.push(...Object.keys(file.nodes).filter((name) => name !== self));
  return { self, other: all[1] ?? null, all };
}

/** Says so when `name` is no node of hast.conf. */
export function checkNode(source: YamlSource, path: Path, name: string, names: NodeNames): void {
  if (names.all.includes(name)) return;
  const place = path.at(-1) === name ? source.keyAt(path) : source.at(path);
  source.diagnostics.error(
    place,
    `'${dotted(path)}' names no node of hast.conf: '${name}'`,
    didYouMean(name, names.all),
  );
}

/** This node's value of a value that may be a map by node name; undefined when none is written. */
export function ofNode<T extends string | number | boolean>(
  source: YamlSource,
  path: Path,
  value: T | Readonly<Record<string, T>> | undefined,
  names: NodeNames,
): T | undefined {
  if (typeof value !== 'object') return value;
  for (const name of Object.keys(value)) checkNode(source, [...path, name], name, names);
  for (const name of names.all) {
    if (name in value) continue;
    const message = `'${dotted(path)}' has no value for node ${name}`;
    source.diagnostics.error(source.keyAt(path), message, `add '${name}: ...'`);
  }
  return value[names.self];
}

/** Addresses of each node's peer channel. */
export function nodeAddresses(
  source: YamlSource,
  file: HastateFile,
  names: NodeNames,
): Record<string, readonly PeerAddress[]> {
  const { diagnostics } = source;
  const result: Record<string, readonly PeerAddress[]> = {};
  const written = Object.entries(file.nodes);
  for (const [name, { peer }] of written) {
    checkNode(source, ['nodes', name], name, names);
    const list = typeof peer === 'string' ? [peer] : (peer ?? []);
    result[name] = list.flatMap((text, index) => {
      const path = typeof peer === 'string' ? ['nodes', name, 'peer'] : ['nodes', name, 'peer', index];
      return hostPort(source, path, text, PEER_PORT) ?? [];
    });
  }
  const self = names.self;
  if (written.length > 0 && !(self in file.nodes)) {
    diagnostics.error(
      source.keyAt(['nodes']),
      `'nodes' does not name this node, ${self}`,
      `add '${self}: { peer: ADDRESS }'`,
    );
  }
  if (written.length > 2) {
    const third = written[2]?.[0] ?? '';
    diagnostics.error(
      source.keyAt(['nodes', third]),
      `'nodes' names ${written.length} nodes`,
      'name the two that share disks',
    );
  }
  if (written.length === 1 && self in file.nodes) {
    const hint = `add '${names.other ?? 'OTHER'}: { peer: ADDRESS }'`;
    diagnostics.warning(source.keyAt(['nodes']), "'nodes' names only this node, so nobody is asked", hint);
  }
  if (written.length === 0 && Object.keys(file.groups).length > 0) {
    const hint = "add 'nodes: { NODE: { peer: ADDRESS } }' for both nodes";
    diagnostics.warning(
      source.at([]),
      "without 'nodes' there is no peer channel: only the data link and adverts are heard",
      hint,
    );
  }
  return result;
}

/** The address, or null after saying what is wrong with it. */
export function hostPort(source: YamlSource, path: Path, text: string, port: number): PeerAddress | null {
  const address = parseHostPort(text, port);
  if (typeof address !== 'string') return address;
  source.diagnostics.error(
    source.at(path),
    `'${dotted(path)}' is no address: ${address}`,
    'write HOST or HOST:PORT',
  );
  return null;
}
