/** The files of `tls`: read, and looked at as closely as the peer will. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import { missingPurposes, namesNode } from '../model/certificates.ts';
import type { CertificateFiles, NodeCertificates } from '../model/certificates.ts';
import { secretFileFault, systemText } from './files.ts';

const MAX_BYTES = 1024 * 1024;
const DAY_MS = 86_400_000;
/** Earlier than this before its end nobody is told. */
const SOON_DAYS = 30;
const PEM = /-----BEGIN (?:TRUSTED )?CERTIFICATE-----[^-]*-----END (?:TRUSTED )?CERTIFICATE-----/g;

export interface CertificateFinding {
  readonly field: keyof CertificateFiles;
  readonly severity: 'error' | 'warning';
  readonly message: string;
  readonly hint: string;
}

export interface InspectedCertificates {
  /** Null when one of the findings is an error. */
  readonly certificates: NodeCertificates | null;
  readonly findings: readonly CertificateFinding[];
}

/** @param now ms since 1970. Never rejects for what is wrong with a file. */
export async function inspectCertificates(
  files: CertificateFiles,
  node: string,
  now: number,
): Promise<InspectedCertificates> {
  const findings = new Findings();
  const fault = await secretFileFault(files.key, 'the private key');
  if (fault !== null) findings.error('key', fault.message, fault.hint);
  const certificate = await readText('certificate', files, findings);
  const authority = await readText('authority', files, findings);
  const key = fault === null ? await readText('key', files, findings) : null;
  if (certificate !== null && authority !== null && key !== null) {
    const certificates = { certificate, key, authority };
    judge(certificates, files, node, now, findings);
    if (!findings.wrong) return { certificates, findings: findings.all };
  }
  return { certificates: null, findings: findings.all };
}

/** What ends soon or has ended, for status. @param now ms since 1970 */
export function expiryWarnings({ certificate, authority }: NodeCertificates, now: number): string[] {
  const [own] = parse(certificate);
  const texts = own === undefined ? [] : [expiry('the certificate of this node', own, now)];
  const authorities = parse(authority).map((one) => expiry(`the authority ${subjectOf(one)}`, one, now));
  return [...texts, ...authorities].filter((text) => text !== null);
}

class Findings {
  readonly all: CertificateFinding[] = [];

  get wrong(): boolean {
    return this.all.some(({ severity }) => severity === 'error');
  }

  error(field: keyof CertificateFiles, message: string, hint: string): void {
    this.all.push({ field, severity: 'error', message, hint });
  }

  warning(field: keyof CertificateFiles, message: string, hint: string): void {
    this.all.push({ field, severity: 'warning', message, hint });
  }
}

async function readText(
  field: keyof CertificateFiles,
  files: CertificateFiles,
  findings: Findings,
): Promise<string | null> {
  const path = files[field];
  try {
    const { size } = await stat(path);
    if (size <= MAX_BYTES) return await readFile(path, 'latin1');
    findings.error(field, `${path} has ${size} bytes`, 'is it the right file?');
  } catch (error) {
    findings.error(field, `cannot read ${path}: ${systemText(error)}`, 'make it, or correct its path');
  }
  return null;
}

function judge(
  { certificate, key, authority }: NodeCertificates,
  files: CertificateFiles,
  node: string,
  now: number,
  findings: Findings,
): void {
  const [own, ...between] = parsed('certificate', certificate, files, findings);
  const authorities = parsed('authority', authority, files, findings);
  const secret = parsedKey(key, files, findings);
  if (own === undefined || authorities.length === 0 || secret === null) return;
  judgeOwn(own, files, node, now, findings);
  if (!own.checkPrivateKey(secret))
    findings.error(
      'key',
      `the key in ${files.key} does not fit the certificate in ${files.certificate}`,
      'name the two that were made together',
    );
  const good = authorities.filter((one) => Date.parse(one.validTo) > now);
  if (good.length === 0)
    findings.error('authority', `every authority in ${files.authority} has expired`, 'make another one');
  else if (!comesFrom(own, between, good))
    findings.error(
      'authority',
      `the certificate in ${files.certificate} is of no authority in ${files.authority}`,
      'name the file with the authority that signed it, up to the one that signed itself',
    );
  for (const one of good) {
    const soon = expiry(`the authority ${subjectOf(one)} in ${files.authority}`, one, now);
    if (soon !== null) findings.warning('authority', soon, 'add its successor to the file on both nodes');
  }
  if (findings.wrong) return;
  try {
    createSecureContext({ cert: certificate, key, ca: authority, minVersion: 'TLSv1.3' });
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    findings.error('certificate', `TLS cannot use it with its key: ${why}`, 'make another one');
  }
}

function judgeOwn(
  own: X509Certificate,
  { certificate: path }: CertificateFiles,
  node: string,
  now: number,
  findings: Findings,
): void {
  const remedy = 'make another one, as in docs/security.md';
  const [from, to] = [Date.parse(own.validFrom), Date.parse(own.validTo)];
  if (now < from) {
    findings.error(
      'certificate',
      `the certificate in ${path} is not valid before ${own.validFrom}`,
      "set this node's clock, or make another one",
    );
  } else if (now >= to) {
    findings.error('certificate', `the certificate in ${path} expired on ${own.validTo}`, remedy);
  } else {
    const soon = expiry(`the certificate in ${path}`, own, now);
    if (soon !== null) findings.warning('certificate', soon, "make another one and say 'hastate reload'");
  }
  if (!namesNode(own.subjectAltName, node))
    findings.error(
      'certificate',
      `the certificate in ${path} is not for this node, ${node}: it says ${own.subjectAltName ?? 'no subjectAltName'}`,
      `make one with subjectAltName DNS:${node}`,
    );
  const missing = missingPurposes(own);
  if (missing.length > 0)
    findings.error(
      'certificate',
      `the certificate in ${path} is not for ${missing.join(' and ')}`,
      'make one with extendedKeyUsage clientAuth,serverAuth, or without any',
    );
}

function parse(text: string): X509Certificate[] {
  return [...text.matchAll(PEM)].map(([pem]) => new X509Certificate(pem));
}

function parsed(
  field: 'certificate' | 'authority',
  text: string,
  files: CertificateFiles,
  findings: Findings,
): X509Certificate[] {
  const hint = `look at it with 'openssl x509 -text -in ${files[field]}'`;
  try {
    const found = parse(text);
    if (found.length === 0) findings.error(field, `${files[field]} has no certificate in PEM`, hint);
    return found;
  } catch {
    findings.error(field, `${files[field]} has a certificate that cannot be read`, hint);
    return [];
  }
}

function parsedKey(text: string, { key }: CertificateFiles, findings: Findings): KeyObject | null {
  try {
    return createPrivateKey(text);
  } catch {
    if (text.includes('ENCRYPTED'))
      findings.error('key', `${key} asks for a passphrase`, `take it off with 'openssl pkey -in ${key}'`);
    else
      findings.error(
        'key',
        `${key} has no private key in PEM`,
        'name the file that openssl wrote with -keyout',
      );
    return null;
  }
}

/** As TLS will look for it: by way of the other certificates, to an authority that signed itself. */
function comesFrom(
  own: X509Certificate,
  between: readonly X509Certificate[],
  authorities: readonly X509Certificate[],
): boolean {
  const issued = (one: X509Certificate, by: X509Certificate): boolean =>
    one.checkIssued(by) && one.verify(by.publicKey);
  let left = [...between, ...authorities];
  for (let current = own; ;) {
    const next = left.find((by) => issued(current, by));
    if (next === undefined) return false;
    if (authorities.includes(next) && issued(next, next)) return true;
    left = left.filter((one) => one !== next);
    current = next;
  }
}

function expiry(what: string, { validTo }: X509Certificate, now: number): string | null {
  const left = Date.parse(validTo) - now;
  if (left <= 0) return `${what} expired on ${validTo}: new connections are refused`;
  const days = Math.floor(left / DAY_MS);
  const when = days === 0 ? 'in less than a day' : days === 1 ? 'in 1 day' : `in ${days} days`;
  return days < SOON_DAYS ? `${what} expires ${when}, on ${validTo}` : null;
}

function subjectOf({ subject }: X509Certificate): string {
  return subject.replaceAll('\n', ', ');
}
