/** What a resource's engine is told of the configuration. */
import { randomBytes } from 'node:crypto';
import type { HastateSettings, ResourceSettings } from '../../model/settings.ts';
import { splitSecrets } from '../../model/secrets.ts';
import { deriveLinkTls, linkCertificates, nameOfWay } from '../../protocol/link-keys.ts';
import { deriveLinkKey } from '../../protocol/link-proof.ts';
import type { EngineSetup, LinkSecrets } from '../../replication/messages.ts';
import type { LeaseMemory } from '../engine/lease-memory.ts';
import type { Runtime } from '../runtime.ts';

export function engineSetup(runtime: Runtime, resource: ResourceSettings, lease: LeaseMemory): EngineSetup {
  const { settings } = runtime;
  return {
    resource,
    node: runtime.node,
    boot: runtime.boot,
    timing: settings.timing,
    peerKind: peerKindOf(settings, resource.name),
    ...linkSecrets(runtime, resource),
    resyncRate: settings.resyncRates[resource.name] ?? 0,
    stateDir: runtime.stateDir,
    leaseMemory: lease.buffer,
  };
}

/**
 * E3: a hastate peer is met with the secret's keys, or with certificates, and encrypted; a plain hastd, and without
 * either of the two, in plain.
 */
export function linkSecrets(
  { secret, certificates, node, settings }: Runtime,
  { name, peer }: ResourceSettings,
): LinkSecrets {
  if (peer !== null && certificates !== null) {
    if (peerKindOf(settings, name) === 'hastate')
      return {
        linkKey: null,
        otherLinkKeys: [],
        linkTls: linkCertificates(certificates, name, node, peer),
      };
    // Nobody can prove to have this one: what a plain peer says of epochs is not believed.
    return { linkKey: randomBytes(32), otherLinkKeys: [], linkTls: null };
  }
  if (secret === null || peer === null) return { linkKey: null, otherLinkKeys: [], linkTls: null };
  const secrets = splitSecrets(secret);
  const [first, ...others] = secrets;
  return {
    linkKey: deriveLinkKey(first, node, peer),
    otherLinkKeys: others.map((other) => deriveLinkKey(other, node, peer)),
    linkTls: peerKindOf(settings, name) === 'hastate' ? deriveLinkTls(secrets, name, node, peer) : null,
  };
}

/** How its primary names this resource when it dials this node; null when nobody may. */
export function wayHere({ node }: Runtime, { name, peer }: ResourceSettings): string | null {
  return peer === null ? null : nameOfWay({ resource: name, from: peer, to: node });
}

function peerKindOf({ groups, peer }: HastateSettings, resource: string): 'hastate' | 'hastd' {
  const group = groups.find(({ resources }) => resources.includes(resource));
  return group?.peerKind ?? (peer === null ? 'hastd' : 'hastate');
}
