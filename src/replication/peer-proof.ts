/**
 * Who may be met on the data link: with a secret only a peer that proves to know it, and a plain hastd only
 * where the configuration expects one. Nothing is negotiated down.
 * @see SAFETY E1, E3
 */
import { Buffer } from 'node:buffer';
import { isProven, NONCE_BYTES, proofField } from '../protocol/link-proof.ts';
import type { Handshake } from '../protocol/link-proof.ts';
import type { NvField, NvMap } from '../protocol/nv.ts';
import type { EngineCore } from './core.ts';

export const UNPROVEN =
  'the peer does not prove that it knows the secret: give both nodes the same secret-file, ' +
  'or the group of this resource peer-kind: hastd if it is a plain hastd';
const NO_SECRET = 'the peer has a secret-file and this node has none: give both nodes the same one';
const EPOCHLESS =
  'the peer is a plain hastd, which tells no epochs: give the group of this resource peer-kind: hastd if that is meant';

export type Proof = Omit<Handshake, 'nonce' | 'resource'> & { readonly nonce: Buffer | null };

export function expectsProof({ setup }: EngineCore): boolean {
  return setup.linkKey !== null && setup.peerKind === 'hastate';
}

/** What the primary chose for this handshake; null when it offers no proof. @throws WireError */
export function nonceOf(nv: NvMap): Buffer | null {
  const nonce = nv.bytes('nonce');
  return nonce?.length === NONCE_BYTES ? Buffer.from(nonce) : null;
}

/** The fields, with a proof behind them where there is a secret. */
export function proven(
  core: EngineCore,
  { sender, nonce, token }: Proof,
  fields: readonly NvField[],
  data: Buffer | null = null,
): NvField[] {
  const { linkKey, resource } = core.setup;
  if (linkKey === null || nonce === null) return [...fields];
  return [...fields, proofField(linkKey, { sender, resource: resource.name, nonce, token }, fields, data)];
}

/** @returns why the sender of this message is not met, or null. @throws WireError */
export function distrusts(core: EngineCore, proof: Proof, nv: NvMap, data: Buffer | null): string | null {
  const { linkKey, peerKind } = core.setup;
  if (peerKind === 'hastd') return null;
  if (linkKey === null) {
    if (nv.has('proof')) return NO_SECRET;
  } else if (!isAuthentic(core, proof, nv, data)) return UNPROVEN;
  return nv.has('hastate') ? null : EPOCHLESS;
}

/** What this message claims comes from the peer, as far as that can be known. @throws WireError */
export function isAuthentic(
  core: EngineCore,
  { sender, nonce, token }: Proof,
  nv: NvMap,
  data: Buffer | null,
): boolean {
  const { linkKey, otherLinkKeys = [], resource } = core.setup;
  if (linkKey === null) return true;
  if (nonce === null) return false;
  const handshake = { sender, resource: resource.name, nonce, token };
  return [linkKey, ...otherLinkKeys].some((key) => isProven(key, handshake, nv, data));
}

/** Who is refused comes again every second: said once, until it is something else or a link was made. */
export function tellRefusal(core: EngineCore, message: string, level: 'warn' | 'debug' = 'warn'): void {
  if (core.peerProblem === message) return;
  core.peerProblem = message;
  core.report('refused', level, message);
}
