/** Failover groups of hastate.yaml, checked against hast.conf. */
import { addressSettings } from './hastate-address.ts';
import { monitorSettings } from './hastate-monitor.ts';
import type { GroupFile, HastateFile } from './hastate-schema.ts';
import { checkNode, ofNode } from './hastate-nodes.ts';
import type { NodeNames } from './hastate-nodes.ts';
import { didYouMean } from './nearest.ts';
import type { Path, YamlSource } from './yaml-source.ts';
import type { GroupSettings, HastSettings } from '../model/settings.ts';

/** `when-synced`: long enough to see that the node stays. */
const WHEN_SYNCED_MS = 60_000;

/** The groups for one node. What is wrong goes to `source.diagnostics`. */
export function groupSettings(
  source: YamlSource,
  file: HastateFile,
  hast: HastSettings,
  names: NodeNames,
): GroupSettings[] {
  const groups = Object.entries(file.groups).map(([name, group]) => {
    const path = ['groups', name];
    checkPolicy(source, path, group, hast);
    if (group.prefer !== undefined) checkNode(source, [...path, 'prefer'], group.prefer, names);
    return oneGroup(name, group, {
      hooks: hookParameters(source, [...path, 'hooks'], group.hooks, names),
      monitor: monitorSettings(source, [...path, 'monitor'], group),
      address: addressSettings(source, [...path, 'address'], group, names),
    });
  });
  checkMembers(source, groups, hast);
  checkAddresses(source, groups);
  return groups;
}

function oneGroup(
  name: string,
  group: GroupFile,
  ofThisNode: Pick<GroupSettings, 'hooks' | 'monitor' | 'address'>,
): GroupSettings {
  return {
    name,
    policy: group.policy,
    prefer: group.prefer ?? null,
    failback: group.failback,
    failbackDelayMs: group['failback-delay'] ?? (group.failback === 'when-synced' ? WHEN_SYNCED_MS : 0),
    bootWaitMs: group['boot-wait'] ?? 0,
    allowLoss: group['allow-loss'],
    afterSplit: group['after-split'],
    peerKind: group['peer-kind'],
    resources: group.resources,
    device: group.device,
    ...ofThisNode,
  };
}

/** Each may be one value or a map by node name. */
export function hookParameters(
  source: YamlSource,
  path: Path,
  written: GroupFile['hooks'],
  names: NodeNames,
): GroupSettings['hooks'] {
  const hooks = Object.entries(written ?? {}).map(([hook, parameters]) => {
    const words = Object.entries(parameters ?? {}).flatMap(([key, written]) => {
      const value = ofNode<string | number | boolean>(source, [...path, hook, key], written, names);
      return value === undefined ? [] : [[key, String(value)] as const];
    });
    return [hook, Object.fromEntries(words)] as const;
  });
  return Object.fromEntries(hooks);
}

function checkPolicy(source: YamlSource, path: Path, group: GroupFile, hast: HastSettings): void {
  const { diagnostics } = source;
  const name = String(path.at(-1));
  if (group.policy === 'consistent') {
    if (group['allow-loss']) {
      const message = `group ${name}: 'allow-loss' contradicts 'policy: consistent'`;
      diagnostics.error(
        source.keyAt([...path, 'allow-loss']),
        message,
        "remove it, or use 'policy: available'",
      );
    }
    const message = `group ${name}: 'policy: consistent' promotes only after a fence hook's success`;
    diagnostics.warning(
      source.at([...path, 'policy']),
      message,
      'put one into fence.d of the hook directory',
    );
  }
  if (group['peer-kind'] === 'hastd' && group.policy !== 'manual') {
    const message = `group ${name}: beside a plain hastd only an operator or a fence hook promotes`;
    diagnostics.warning(source.at([...path, 'peer-kind']), message, "say so with 'policy: manual'");
  }
  if (group['peer-kind'] === 'hastd' && group['after-split'] !== 'disconnect') {
    const message = `group ${name}: a plain hastd cannot be asked for its copy, so 'after-split' decides nothing`;
    diagnostics.error(source.keyAt([...path, 'after-split']), message, 'remove it');
  }
  if (group.failback !== 'never' && group.prefer === undefined) {
    const message = `group ${name}: 'failback: ${group.failback}' has no node to go back to`;
    diagnostics.error(source.keyAt([...path, 'failback']), message, "add 'prefer: NODE'");
  }
  for (const [index, member] of group.resources.entries()) {
    const lossy = hast.resources.find(({ name: known }) => known === member)?.replication === 'async';
    if (!lossy || group['allow-loss'] || group.policy === 'manual') continue;
    const message = `group ${name}: ${member} is 'replication async', so its secondary never counts as in sync`;
    const hint = "use memsync in hast.conf, or 'allow-loss: true' if the last writes may be lost";
    diagnostics.warning(source.at([...path, 'resources', index]), message, hint);
  }
}

/** Every member is a resource of hast.conf, in one group, and shared with the same node. */
function checkMembers(source: YamlSource, groups: readonly GroupSettings[], hast: HastSettings): void {
  const { diagnostics } = source;
  const known = hast.resources.map(({ name }) => name);
  const owner = new Map<string, string>();
  for (const { name: group, resources } of groups) {
    const peers = new Set<string>();
    for (const [index, member] of resources.entries()) {
      const place = source.at(['groups', group, 'resources', index]);
      const earlier = owner.get(member);
      const resource = hast.resources.find(({ name }) => name === member);
      if (resource === undefined) {
        const message = `group ${group}: hast.conf has no resource '${member}'`;
        diagnostics.error(place, message, didYouMean(member, known));
      } else if (earlier !== undefined) {
        const message = `resource ${member} is already in group ${earlier}`;
        diagnostics.error(place, message, 'a resource moves with one group: remove it from the other');
      }
      owner.set(member, earlier ?? group);
      if (resource?.peer != null) peers.add(resource.peer);
    }
    if (peers.size > 1) {
      const message = `group ${group}: its resources are shared with different nodes: ${[...peers].join(', ')}`;
      diagnostics.error(source.at(['groups', group, 'resources']), message, 'make one group of each');
    }
  }
}

/** No two groups send under one vhid on one interface or serve one address. */
function checkAddresses(source: YamlSource, groups: readonly GroupSettings[]): void {
  const vhids = new Map<string, string>();
  const owners = new Map<string, string>();
  for (const { name, address } of groups) {
    if (address === null) continue;
    const path = ['groups', name, 'address'];
    const id = `${address.interface} ${address.vhid}`;
    const sends = address.protocol !== 'external' && address.protocol !== 'keepalived';
    const other = vhids.get(id);
    if (sends && other !== undefined) {
      // CARP and VRRP share protocol and multicast group: an id belongs to one of them.
      const message = `vhid ${address.vhid} on ${address.interface} is already used by group ${other}`;
      source.diagnostics.error(source.at([...path, 'vhid']), message, 'give each group its own vhid');
    }
    if (sends) vhids.set(id, name);
    for (const [index, cidr] of address.addresses.entries()) {
      const host = cidr.slice(0, cidr.indexOf('/'));
      const owner = owners.get(host);
      if (owner !== undefined) {
        const message = `address ${host} is already served by group ${owner}`;
        source.diagnostics.error(source.at([...path, 'addresses', index]), message, 'remove one of the two');
      }
      owners.set(host, name);
    }
  }
}
