/** What of hastate.yaml says how the two nodes know each other: a secret, certificates, or nothing. */
import { ofNode } from './hastate-nodes.ts';
import type { NodeNames } from './hastate-nodes.ts';
import type { HastateFile } from './hastate-schema.ts';
import type { YamlSource } from './yaml-source.ts';
import type { CertificateFiles } from '../model/certificates.ts';
import type { HastateSettings } from '../model/settings.ts';

export function certificateFiles(
  source: YamlSource,
  { tls }: HastateFile,
  names: NodeNames,
): CertificateFiles | null {
  if (tls === undefined) return null;
  const certificate = ofNode<string>(source, ['tls', 'certificate'], tls.certificate, names);
  const key = ofNode<string>(source, ['tls', 'key'], tls.key, names);
  const authority = ofNode<string>(source, ['tls', 'authority'], tls.authority, names);
  // What is missing for this node has been said.
  return { certificate: certificate ?? '', key: key ?? '', authority: authority ?? '' };
}

/** SAFETY E3: an unauthenticated channel is chosen, never fallen into. */
export function checkTrust(source: YamlSource, settings: HastateSettings): void {
  const { diagnostics } = source;
  const { secretFile, tls, insecure } = settings;
  const trusted = settings.groups.filter(({ peerKind }) => peerKind === 'hastate');
  const needed = settings.groups.length === 0 ? settings.peer !== null : trusted.length > 0;
  const written = [
    ...(insecure ? ['insecure'] : []),
    ...(tls === null ? [] : ['tls']),
    ...(secretFile === null ? [] : ['secret-file']),
  ];
  const [first = '', second] = written;
  if (second !== undefined) {
    diagnostics.error(source.keyAt([first]), `'${first}' and '${second}' exclude each other`, 'remove one');
  } else if (insecure) {
    diagnostics.warning(
      source.keyAt(['insecure']),
      'anybody on the network can speak as the other node',
      "use 'secret-file'",
    );
  } else if (written.length === 0 && needed) {
    const hint =
      "add 'secret-file: /etc/hastate.secret' (mode 0600, the same on both nodes), or 'tls' with certificates, " +
      "or 'insecure: true'";
    diagnostics.error(
      source.at([]),
      "'secret-file' is missing: the other node could not be told from an attacker",
      hint,
    );
  }
}
