/** How the two nodes know each other where they have certificates and no shared secret. */

/** Where hastate.yaml says that they are. */
export interface CertificateFiles {
  readonly certificate: string;
  readonly key: string;
  readonly authority: string;
}

/** What is in these files, as PEM. */
export interface NodeCertificates {
  /** This node's, then those between it and the authority. */
  readonly certificate: string;
  readonly key: string;
  /** One or several: the peer's certificate must come from one of them. */
  readonly authority: string;
}

/** What is wrong with a certificate that the other end showed. */
export const CERTIFICATE_FAULTS = ['absent', 'authority', 'expired', 'early', 'name', 'unfit'] as const;
export type CertificateFault = (typeof CERTIFICATE_FAULTS)[number];

const WORDS: Readonly<Record<CertificateFault, string>> = {
  absent:
    "it shows no certificate: write the same 'tls' or the same secret-file in hastate.yaml of both nodes",
  authority:
    "its certificate is of none of our authorities: have 'tls.authority' on both nodes name a file with the " +
    'authorities of both certificates',
  expired: 'its certificate has expired: make another one for it and reload it',
  early: 'its certificate is not valid yet: set the clocks of both nodes, or make another one for it',
  name:
    'its certificate is not for the name of that node: make one with subjectAltName DNS:NAME, where NAME is as in ' +
    'hast.conf, and check which address belongs to which node',
  unfit:
    'its certificate is not good for this: make one for both clientAuth and serverAuth, with a key of today',
};

/** For a line about the other end; `it` is that. */
export function faultWords(fault: CertificateFault): string {
  return WORDS[fault];
}

/**
 * Whether a certificate is for this node: `DNS:NAME` or `URI:hastate:NAME`. No wildcard; the CN of its subject is none
 * of the names.
 * @param subjectAltName as Node writes it
 */
export function namesNode(subjectAltName: string | undefined, node: string): boolean {
  return namesOf(subjectAltName ?? '').some(
    ({ type, value }) =>
      (type === 'DNS' && value.toLowerCase() === node.toLowerCase()) ||
      (type === 'URI' && value === `hastate:${encodeURIComponent(node)}`),
  );
}

/** A value in which a comma or a quote could be taken for its end is quoted. */
const NAME = /(?:^|, )([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^",]*)/y;

function namesOf(text: string): { type: string; value: string }[] {
  const names = [];
  NAME.lastIndex = 0;
  for (let found = NAME.exec(text); found !== null; found = NAME.exec(text)) {
    const [, type = '', value = ''] = found;
    names.push({ type, value });
  }
  return names;
}

/** Extended key usages (RFC 5280 4.2.1.12): each node is the client of the other one and its server. */
const PURPOSES = { serverAuth: '1.3.6.1.5.5.7.3.1', clientAuth: '1.3.6.1.5.5.7.3.2' } as const;

/**
 * Of the two that a certificate needs, those that it excludes. One that says none is for everything.
 * @param certificate Node calls `keyUsage` what RFC 5280 calls the extended one; undefined without any
 */
export function missingPurposes(certificate: {
  readonly keyUsage?: readonly string[] | undefined;
}): string[] {
  const { keyUsage } = certificate;
  if (keyUsage === undefined) return [];
  return Object.entries(PURPOSES).flatMap(([name, oid]) => (keyUsage.includes(oid) ? [] : [name]));
}
