/** Both files, as this daemon was told to find them: at its start and at every reload. */
import { inspectCertificates } from '../config/certificates.ts';
import { ConfigFileError, formatDiagnostic } from '../config/diagnostics.ts';
import { readSecretFile } from '../config/files.ts';
import { loadHastConf } from '../config/hast-conf.ts';
import { loadHastate, parseHastate } from '../config/hastate-yaml.ts';
import type { CertificateFiles, NodeCertificates } from '../model/certificates.ts';
import type { HastateSettings, HastSettings } from '../model/settings.ts';
import type { Arguments } from './arguments.ts';

export interface Settings {
  readonly hast: HastSettings;
  readonly settings: HastateSettings;
  /** Content of the secret file; null: there is none. */
  readonly secret: Buffer | null;
  /** What is in the files of `tls`; null: it is not written. */
  readonly certificates: NodeCertificates | null;
}

/** @throws ConfigFileError with every error and its place */
export async function loadSettings(
  args: Pick<Arguments, 'hastConf' | 'hastateYaml' | 'node'>,
  warn: (text: string) => void,
): Promise<Settings> {
  const onWarning = (warning: Parameters<typeof formatDiagnostic>[0]): void => {
    warn(formatDiagnostic(warning));
  };
  const hast = await loadHastConf(args.hastConf, { node: args.node, onWarning });
  const settings =
    args.hastateYaml === null
      ? parseHastate('visualizer: false\n', '(no hastate.yaml)', hast)
      : await loadHastate(args.hastateYaml, hast, { onWarning });
  const { secretFile, tls } = settings;
  return {
    hast,
    settings,
    secret: secretFile === null ? null : await readSecretFile(secretFile),
    certificates: tls === null ? null : await readCertificates(tls, hast.node),
  };
}

/** They are looked at once more: a file that was replaced meanwhile may not fit the others. */
async function readCertificates(files: CertificateFiles, node: string): Promise<NodeCertificates> {
  const { certificates, findings } = await inspectCertificates(files, node, Date.now());
  if (certificates !== null) return certificates;
  const wrong = findings.filter(({ severity }) => severity === 'error');
  throw new ConfigFileError(
    'config-invalid',
    wrong.map((finding) => ({ ...finding, file: files[finding.field], line: 1, column: 1 })),
  );
}
