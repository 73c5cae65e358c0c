/** The service address of a group on this node, and how its adverts are told from the other node's. */
import type { AddressFile, GroupFile } from './hastate-schema.ts';
import { checkNode } from './hastate-nodes.ts';
import type { NodeNames } from './hastate-nodes.ts';
import { dotted } from './yaml-source.ts';
import type { Path, YamlSource } from './yaml-source.ts';
import type { AddressSettings } from '../model/settings.ts';

/** How much later the node speaks that is not preferred, in 1/256 s. */
const SKEW_OF_THE_OTHER = 100;

/** The address section at `path` for this node, or null where the group has none. */
export function addressSettings(
  source: YamlSource,
  path: Path,
  group: GroupFile,
  names: NodeNames,
): AddressSettings | null {
  const written = group.address;
  if (written === undefined) return null;
  const external = written.protocol === 'external';
  if (!external) checkNeeded(source, path, written);
  if (written['password-file'] === undefined && written.protocol === 'carp') {
    const message = 'adverts without a password can be forged by anybody on the network';
    source.diagnostics.warning(
      source.keyAt(path),
      message,
      "add 'password-file: /etc/hastate.carp' (mode 0600)",
    );
  }
  const interfaces = ofNode<string>(source, [...path, 'interface'], written.interface, names);
  return {
    protocol: written.protocol,
    interface: interfaces ?? '',
    // An external manager of the address has no vhid that concerns us.
    vhid: written.vhid ?? 0,
    advbase: written.advbase,
    advskew: advskew(source, path, written, group.prefer, names),
    passwordFile: written['password-file'] ?? null,
    addresses: written.addresses,
    transport: written.transport,
    driver: written.driver,
    preempt: written.preempt,
  };
}

function checkNeeded(source: YamlSource, path: Path, written: AddressFile): void {
  const example = { interface: 're0', vhid: '1' } as const;
  for (const key of ['interface', 'vhid'] as const) {
    if (written[key] !== undefined) continue;
    source.diagnostics.error(
      source.keyAt(path),
      `'${dotted([...path, key])}' is missing`,
      `add '${key}: ${example[key]}'`,
    );
  }
  if (written.addresses.length === 0) {
    const message = `'${dotted([...path, 'addresses'])}' is missing`;
    source.diagnostics.error(source.keyAt(path), message, "add 'addresses: [192.0.2.1/24]'");
  }
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

/** Two nodes with one skew would speak at once for ever; so each has its own, the preferred one less. */
function advskew(
  source: YamlSource,
  address: Path,
  written: AddressFile,
  prefer: string | undefined,
  names: NodeNames,
): number {
  const path = [...address, 'advskew'];
  const { diagnostics } = source;
  const first = written.advbase === 0 ? 1 : 0;
  const preferred = prefer ?? [...names.all].sort()[0];
  const fallback = names.self === preferred ? first : SKEW_OF_THE_OTHER;
  const skews = written.advskew;
  const own = ofNode<number>(source, path, skews, names) ?? fallback;
  if (names.other !== null && skews !== undefined) {
    const other = typeof skews === 'number' ? skews : skews[names.other];
    if (other === own) {
      const message = `advskew is ${own} on both nodes: neither would win`;
      const hint = `write a map, e.g. advskew: { ${names.self}: 0, ${names.other}: ${SKEW_OF_THE_OTHER} }`;
      diagnostics.error(source.at(path), message, hint);
    }
  }
  if (written.advbase === 0 && own === 0) {
    diagnostics.error(
      source.at(path),
      'advbase 0 with advskew 0 leaves no pause between adverts',
      'use advskew 1',
    );
  }
  return own;
}
